/**
 * The optimisation journey as a table: a baseline, then one row per phase. Each row replaces one slot of the row
 * before it.
 *
 * The configuration names the row, and a thread loads the implementations of that row only. The hot path never asks
 * which phase it is in.
 */
import type { Revert } from './config/load.ts';
import type { DispatcherModule } from './dispatch/dispatcher.ts';
import type { LimiterModule } from './limiter/limiter.ts';
import type { ParserModule } from './parser/parser.ts';
import type { TelemetryModule } from './telemetry/recorder.ts';
import type { WriterModule } from './writer/writer.ts';

type Loaders<Module> = Readonly<Record<string, () => Promise<Module>>>;

/** The implementations of each slot, by file name within the component's folder. */
const DISPATCH = {
  sequential: () => import('./dispatch/sequential.ts'),
  'thread-per-request': () => import('./dispatch/thread-per-request.ts'),
  'worker-pool': () => import('./dispatch/worker-pool.ts'),
} as const satisfies Loaders<DispatcherModule>;

const WRITER = {
  synchronous: () => import('./writer/synchronous/synchronous.ts'),
  'group-commit': () => import('./writer/group-commit/group-commit.ts'),
  'write-ahead': () => import('./writer/write-ahead/write-ahead.ts'),
} as const satisfies Loaders<WriterModule>;

const PARSER = {
  naive: () => import('./parser/naive/naive.ts'),
  'single-pass': () => import('./parser/single-pass/single-pass.ts'),
  simd: () => import('./parser/simd/simd.ts'),
} as const satisfies Loaders<ParserModule>;

const LIMITER = {
  'global-lock': () => import('./limiter/global-lock.ts'),
  'striped-lock': () => import('./limiter/striped-lock.ts'),
  'lock-free': () => import('./limiter/lock-free.ts'),
} as const satisfies Loaders<LimiterModule>;

const TELEMETRY = {
  locked: () => import('./telemetry/locked.ts'),
  'ring-buffer': () => import('./telemetry/ring-buffer.ts'),
} as const satisfies Loaders<TelemetryModule>;

export interface Slots {
  readonly dispatch: keyof typeof DISPATCH;
  readonly writer: keyof typeof WRITER;
  readonly parser: keyof typeof PARSER;
  readonly limiter: keyof typeof LIMITER;
  readonly telemetry: keyof typeof TELEMETRY;
}

export interface Phase {
  /** As in `--phase`; parts of a phase have a digit behind the point. */
  readonly number: number;
  readonly name: string;
  /** The bottleneck that measurement showed before this phase. */
  readonly bottleneck: string;
  readonly slots: Slots;
}

const BASELINE: Phase = {
  number: 0,
  name: 'sequential',
  bottleneck: '',
  slots: {
    dispatch: 'sequential',
    writer: 'synchronous',
    parser: 'naive',
    limiter: 'global-lock',
    telemetry: 'locked',
  },
};

const STEPS: readonly (Omit<Phase, 'slots'> & { readonly replaces: Partial<Slots> })[] = [
  {
    number: 1,
    name: 'thread per request',
    bottleneck: 'one request at a time',
    replaces: { dispatch: 'thread-per-request' },
  },
  {
    number: 2,
    name: 'group commit',
    bottleneck: 'the disk in the request path',
    replaces: { writer: 'group-commit' },
  },
  {
    number: 3,
    name: 'single-pass parser',
    bottleneck: 'quadratic parsing',
    replaces: { parser: 'single-pass' },
  },
  {
    number: 4,
    name: 'striped limiter',
    bottleneck: 'one lock for all clients',
    replaces: { limiter: 'striped-lock' },
  },
  {
    number: 5,
    name: 'ring telemetry',
    bottleneck: 'a second lock',
    replaces: { telemetry: 'ring-buffer' },
  },
  {
    number: 6,
    name: 'worker pool',
    bottleneck: 'thread creation',
    replaces: { dispatch: 'worker-pool' },
  },
  {
    number: 7.1,
    name: 'lock-free limiter',
    bottleneck: 'the last lock',
    replaces: { limiter: 'lock-free' },
  },
  {
    number: 7.2,
    name: 'write-ahead log',
    bottleneck: 'a file-system journal commit for each sync',
    replaces: { writer: 'write-ahead' },
  },
  {
    number: 7.4,
    name: 'SIMD parser',
    bottleneck: 'JavaScript handles few bytes at a time',
    replaces: { parser: 'simd' },
  },
];

export const PHASES: readonly Phase[] = STEPS.reduce<Phase[]>(
  (phases, { replaces, ...step }) => {
    phases.push({ ...step, slots: { ...phases.at(-1)!.slots, ...replaces } });
    return phases;
  },
  [BASELINE],
);

export function phaseOf(number: number): Phase {
  const phase = PHASES.find((row) => row.number === number);
  if (!phase)
    throw new RangeError(`no phase ${number}; there are ${PHASES.map((row) => row.number).join(', ')}`);
  return phase;
}

export interface Selection {
  readonly phase: number;
  readonly revert: Revert;
  /** `off`: the write-ahead log does not work here, or is not wanted. */
  readonly wal?: string;
}

/** The slots of a phase; with `revert` one of them as it was before its last change. */
export function slotsOf(selection: Selection): Slots {
  const slots = selectedSlots(selection);
  const isOff = slots.writer === 'write-ahead' && selection.wal === 'off';
  return isOff ? { ...slots, writer: 'group-commit' } : slots;
}

function selectedSlots({ phase, revert }: Selection): Slots {
  const { slots } = phaseOf(phase);
  if (revert === 'none') return slots;
  const before = PHASES.findLast((row) => row.number < phase && row.slots[revert] !== slots[revert]);
  return before === undefined ? slots : { ...slots, [revert]: before.slots[revert] };
}

export const loadDispatch = (slots: Slots): Promise<DispatcherModule> => DISPATCH[slots.dispatch]();
export const loadWriter = (slots: Slots): Promise<WriterModule> => WRITER[slots.writer]();
export const loadLimiter = (slots: Slots): Promise<LimiterModule> => LIMITER[slots.limiter]();
export const loadTelemetry = (slots: Slots): Promise<TelemetryModule> => TELEMETRY[slots.telemetry]();
export const loadParser = (slots: Slots): Promise<ParserModule> => PARSER[slots.parser]();
