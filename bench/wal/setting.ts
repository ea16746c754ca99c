/** The cases of this benchmark, and the messages between its processes. */

export const CASES = [
  'append + fdatasync',
  'direct, blocking',
  'direct, thread pool',
  'direct, aio',
  'direct, io_uring',
] as const;
export type CaseName = (typeof CASES)[number];

/** A round: `commits` of `bytes` each, one after the other. */
export interface Order {
  readonly bytes: number;
  readonly commits: number;
}

/** A commit. */
export interface Figures {
  readonly us: number;
  readonly cpuUs: number;
  readonly machineCpuUs: number;
}
