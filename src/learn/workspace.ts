/** The learner's progress: `.learn/` in the clone, which git ignores. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDirectories } from '../base/directories.ts';
import { MetricsStreamError } from '../base/errors.ts';
import type { Columns } from './bench-module.ts';
import type { LearnPhase, Step } from './catalogue.ts';
import { currentBranch } from './git.ts';

interface PassedStep {
  readonly at: string;
  /** Hints that were shown before. */
  readonly hints: number;
  /** The solution was filled in, by `solution` or by starting at a later step. */
  readonly isGiven: boolean;
}

export interface BenchRun {
  readonly at: string;
  readonly phase: string;
  readonly guess: number | null;
  readonly unit: string;
  /** If its columns are not before, yours and the reference. */
  readonly columns?: Columns;
  /** Median and range by row and contender. */
  readonly rows: readonly {
    readonly name: string;
    readonly before: Figure;
    readonly yours: Figure;
    readonly reference: Figure;
  }[];
}

export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface LearnState {
  version: 1;
  /** The branch or commit that holds the reference. */
  base: string;
  phase: string | null;
  passed: Record<string, PassedStep>;
  hints: Record<string, number>;
  /** Predictions by step or, for benchmarks, by phase. */
  guesses: Record<string, number>;
  /** Steps that measure whose prediction `solution` filled in. */
  filledIn: string[];
  answers: Record<string, string>;
  runs: BenchRun[];
}

const MODE = 0o755;

export class Workspace {
  readonly root: string;
  readonly directory: string;
  readonly state: LearnState;
  private readonly file: string;

  /** @param root of the clone */
  constructor(root: string) {
    this.root = root;
    this.directory = join(root, '.learn');
    this.file = join(this.directory, 'state.json');
    this.state = this.load();
  }

  private load(): LearnState {
    const empty: LearnState = {
      version: 1,
      base: 'main',
      phase: null,
      passed: {},
      hints: {},
      guesses: {},
      filledIn: [],
      answers: {},
      runs: [],
    };
    if (!existsSync(this.file)) return empty;
    try {
      return { ...empty, ...(JSON.parse(readFileSync(this.file, 'utf8')) as Partial<LearnState>) };
    } catch {
      const remedy = 'delete the file to begin again; your code is on the branches my/phase-N';
      throw new MetricsStreamError('LEARN_UNAVAILABLE', `.learn/state.json is not JSON: ${remedy}`);
    }
  }

  save(): void {
    makeDirectories(this.directory, MODE);
    writeFileSync(`${this.file}.new`, `${JSON.stringify(this.state, null, 2)}\n`);
    renameSync(`${this.file}.new`, this.file);
  }

  path(...parts: readonly string[]): string {
    return join(this.root, ...parts);
  }

  inDirectory(...parts: readonly string[]): string {
    return join(this.directory, ...parts);
  }

  isPassed(step: Step): boolean {
    return this.state.passed[step.id] !== undefined;
  }

  pass(step: Step, isGiven: boolean): void {
    if (this.isPassed(step)) return;
    this.state.passed[step.id] = {
      at: new Date().toISOString(),
      hints: this.state.hints[step.id] ?? 0,
      isGiven,
    };
  }

  /** The compiled code of the learner. */
  get build(): string {
    return this.inDirectory('build');
  }

  /** Holds the tree that the learner started from, and its compiled code. */
  referenceDirectory({ number }: LearnPhase): string {
    return this.inDirectory('reference', `phase-${number}`);
  }

  referenceTree(phase: LearnPhase): string {
    return join(this.referenceDirectory(phase), 'tree');
  }

  referenceBuild(phase: LearnPhase): string {
    return join(this.referenceDirectory(phase), 'build');
  }

  /** The text of a file as the reference has it. @throws LEARN_UNAVAILABLE if `.learn/` was deleted */
  reference(phase: LearnPhase, file: string): string {
    const path = join(this.referenceTree(phase), file);
    if (existsSync(path)) return readFileSync(path, 'utf8');
    throw new MetricsStreamError(
      'LEARN_UNAVAILABLE',
      `.learn/ has no reference for ${file}: run learn start ${phase.number}`,
    );
  }
}

export const branchOf = ({ number }: LearnPhase): string => `my/phase-${number}`;

/** @throws LEARN_UNAVAILABLE unless the clone is on the learner's branch */
export function requireBranch(root: string, phase: LearnPhase): void {
  const branch = branchOf(phase);
  const current = currentBranch(root);
  if (current === branch) return;
  const here = current === null ? 'HEAD is detached' : `this is the branch ${current}`;
  throw new MetricsStreamError(
    'LEARN_UNAVAILABLE',
    `${here}; run git switch ${branch}, or learn start ${phase.number}`,
  );
}

/** The clone that this program was built in. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
