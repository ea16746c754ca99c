/** The phases that can be learned by building, and the texts of their steps. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';

type Level = 'start' | 'foundation' | 'intermediate' | 'advanced' | 'expert';

export interface LearnPhase {
  /** As in `--phase`. */
  readonly number: string;
  readonly title: string;
  readonly level: Level;
  /** The phase to finish before this one; null for the first. */
  readonly wants: string | null;
  /** Files with markers of this phase; none if the steps measure. */
  readonly files: readonly string[];
  /** Those of the files that earlier phases run too: branches of earlier phases leave them solved. */
  readonly shared: readonly string[];
  /** Files to read first: the sibling before, the interface, the page. */
  readonly read: readonly string[];
  /** The page of the phase, which has its questions. */
  readonly page: string;
  /** Parts of the paths of its full tests, for `npm test --`; null if the phase has no code of its own to test. */
  readonly tests: string | null;
}

/** In the order in which they are learned. */
export const LEARN_PHASES: readonly LearnPhase[] = [
  {
    number: '0',
    title: 'one request at a time',
    level: 'start',
    wants: null,
    files: [],
    shared: [],
    read: ['src/pipeline.ts', 'src/dispatch/sequential.ts', 'docs/phases/0-sequential.md'],
    page: 'docs/phases/0-sequential.md',
    tests: null,
  },
  {
    number: '1',
    title: 'thread per request',
    level: 'foundation',
    wants: '0',
    files: ['src/dispatch/thread-per-request.ts'],
    shared: [],
    read: ['src/dispatch/dispatcher.ts', 'src/dispatch/sequential.ts', 'src/threads/request-worker.ts'],
    page: 'docs/phases/1-thread-per-request.md',
    tests: 'phases.test e2e/dispatch e2e/same-answers',
  },
  {
    number: '2',
    title: 'group commit',
    level: 'foundation',
    wants: '1',
    files: ['src/writer/group-commit/journal-source.ts', 'src/writer/commit-log.ts'],
    shared: ['src/writer/commit-log.ts'],
    read: ['src/writer/grouped-writer.ts', 'src/journal/journal.ts', 'src/writer/synchronous/synchronous.ts'],
    page: 'docs/phases/2-group-commit.md',
    tests: 'test/writer/',
  },
  {
    number: '3',
    title: 'single-pass parser',
    level: 'foundation',
    wants: '2',
    files: ['src/parser/single-pass/item.ts', 'src/parser/single-pass/body.ts'],
    shared: [],
    read: [
      'src/parser/parser.ts',
      'src/parser/naive/naive.ts',
      'src/encoder/columns.ts',
      'src/parser/item-errors.ts',
      'src/parser/reasons.ts',
      'src/parser/json/skip.ts',
    ],
    page: 'docs/phases/3-single-pass-parser.md',
    tests: 'test/parser/',
  },
  {
    number: '4',
    title: 'striped limiter',
    level: 'intermediate',
    wants: '3',
    files: ['src/base/futex-lock.ts', 'src/limiter/striped-lock.ts', 'src/limiter/table.ts'],
    shared: ['src/base/futex-lock.ts', 'src/limiter/table.ts'],
    read: ['src/limiter/limiter.ts', 'src/limiter/bucket-limiter.ts', 'src/limiter/global-lock.ts'],
    page: 'docs/phases/4-striped-limiter.md',
    tests: 'limiter/ stress/limiter stress/locks',
  },
  {
    number: '6',
    title: 'worker pool',
    level: 'intermediate',
    wants: '4',
    files: ['src/dispatch/task-queue.ts', 'src/admission/gate.ts'],
    shared: ['src/admission/gate.ts'],
    read: ['src/dispatch/dispatcher.ts', 'src/dispatch/worker-pool.ts', 'docs/backpressure.md'],
    page: 'docs/phases/6-worker-pool.md',
    tests: 'phases.test e2e/overload e2e/accounting e2e/same-answers',
  },
  {
    number: '5',
    title: 'ring telemetry',
    level: 'advanced',
    wants: '6',
    files: ['src/telemetry/ring-buffer.ts'],
    shared: [],
    read: ['src/telemetry/recorder.ts', 'src/telemetry/locked.ts', 'docs/memory-ordering.md'],
    page: 'docs/phases/5-ring-telemetry.md',
    tests: 'telemetry/ stress/samples stress/event-ring',
  },
  {
    number: '7.1',
    title: 'lock-free limiter',
    level: 'expert',
    wants: '5',
    files: ['src/limiter/lock-free-table.ts', 'src/limiter/token-clock.ts'],
    shared: [],
    read: ['src/limiter/limiter.ts', 'src/limiter/bucket-limiter.ts', 'src/limiter/lock-free-layout.ts'],
    page: 'docs/phases/7.1-lock-free-limiter.md',
    tests: 'limiter/ stress/limiter happens-before/',
  },
];

interface Prediction {
  readonly value: number;
  readonly text: string;
}

/** A step's text: test/learn/phase-N/K-title.md, beside its test. */
export interface Step {
  readonly id: string;
  readonly phase: string;
  readonly title: string;
  readonly minutes: number;
  /** Words that it introduces; docs/glossary.md explains them. */
  readonly words: readonly string[];
  readonly why: string;
  /** A question, an idea, a shape with gaps. */
  readonly hints: readonly string[];
  /** The solution of a step that measures: a number, and how it is computed. */
  readonly prediction: Prediction | null;
  /** Path of its text and of its test without the ending, from the root. */
  readonly path: string;
}

const HEADING = /^# (\d+(?:\.\d+)+) (\S.*)$/m;
const FACTS = /^(\d+) minutes\.(?: Words: (.*)\.)?$/m;

function parseStep(text: string, phase: string, path: string): Step {
  const [, id, title] = HEADING.exec(text) ?? [];
  const [factsLine, minutes, words = ''] = FACTS.exec(text) ?? [];
  if (id === undefined || title === undefined || factsLine === undefined) {
    throw new RangeError(`${path}.md: a step begins with "# 5.3 title" and "20 minutes. Words: a, b."`);
  }
  const [explained = '', prediction] = text.split(/^## Prediction$/m);
  const [head = '', ...hints] = explained.split(/^## Hint \d+$/m);
  return {
    id,
    phase,
    title,
    minutes: Number(minutes),
    words: words.split(', ').filter((word) => word !== ''),
    why: head.slice(head.indexOf(factsLine) + factsLine.length).trim(),
    hints: hints.map((hint) => hint.trim()),
    prediction:
      prediction === undefined ? null : { value: Number.parseFloat(prediction), text: prediction.trim() },
    path,
  };
}

const STEP_FILE = /^(\d+)-[a-z0-9-]+\.md$/;

/** The folder of a phase's steps, from the root. */
export const stepFolder = ({ number }: LearnPhase): string => `test/learn/phase-${number}`;

/** The steps of a phase, in order. */
export function stepsOf(root: string, phase: LearnPhase): Step[] {
  const folder = stepFolder(phase);
  if (!existsSync(join(root, folder))) {
    throw new MetricsStreamError(
      'LEARN_UNAVAILABLE',
      'the steps are not here: learn needs a clone of the repository, not a package or an image of it',
    );
  }
  return readdirSync(join(root, folder))
    .filter((name) => STEP_FILE.test(name))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .map((name) => {
      const path = join(folder, basename(name, '.md'));
      return parseStep(readFileSync(join(root, `${path}.md`), 'utf8'), phase.number, path);
    });
}

/** The phase with this number; null for anything else, for example the number of a step. */
export function phaseOfNumber(number: string): LearnPhase | null {
  return LEARN_PHASES.find((row) => row.number === number) ?? null;
}

/** @throws CONFIG_INVALID if no phase with steps has this number */
export function phaseNamed(number: string): LearnPhase {
  const phase = phaseOfNumber(number);
  if (phase !== null) return phase;
  const numbers = LEARN_PHASES.map((row) => row.number).join(', ');
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `"${number}" is not a phase with steps; choose one of ${numbers}`,
  );
}

/** A step by its number, `5.3`. @throws CONFIG_INVALID if no step has it */
export function stepNamed(root: string, id: string): Step {
  const phase = LEARN_PHASES.find(
    ({ number }) => id.startsWith(`${number}.`) && id.length > number.length + 1,
  );
  const steps = phase === undefined ? [] : stepsOf(root, phase);
  const step = steps.find((row) => row.id === id);
  if (step !== undefined) return step;
  const remedy =
    steps.length === 0
      ? 'learn list --json prints all steps'
      : `choose one of ${steps.map((row) => row.id).join(', ')}`;
  throw new MetricsStreamError('CONFIG_INVALID', `"${id}" is not a step; ${remedy}`);
}
