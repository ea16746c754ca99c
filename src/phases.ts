/**
 * The optimisation journey as a table: one row a phase, each the row before it with one slot replaced.
 *
 * Threads receive a row's number and load what it names; the hot path never asks which phase it is in.
 */
import type { OpenLimiter } from './limiter/limiter.ts';
import type { CreateParser } from './parser/parser.ts';

export interface Phase {
  readonly number: number;
  readonly name: string;
  /** The implementation in each slot, by file name within the component's folder. */
  readonly slots: {
    readonly dispatch: 'worker-pool';
    readonly parser: 'single-pass';
    readonly limiter: 'striped-lock';
    readonly telemetry: 'ring-buffer';
    readonly writer: 'group-commit';
  };
  readonly loadParser: () => Promise<CreateParser>;
  readonly loadLimiter: () => Promise<OpenLimiter>;
}

export const PHASES: readonly Phase[] = [
  {
    number: 6,
    name: 'worker pool',
    slots: {
      dispatch: 'worker-pool',
      parser: 'single-pass',
      limiter: 'striped-lock',
      telemetry: 'ring-buffer',
      writer: 'group-commit',
    },
    loadParser: async () => (await import('./parser/single-pass.ts')).createParser,
    loadLimiter: async () => (await import('./limiter/striped-lock.ts')).openLimiter,
  },
];

export function phaseOf(number: number): Phase {
  const phase = PHASES.find((row) => row.number === number);
  if (!phase)
    throw new RangeError(`no phase ${number}; there are ${PHASES.map((row) => row.number).join(', ')}`);
  return phase;
}
