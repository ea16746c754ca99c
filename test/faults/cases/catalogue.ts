/** Every fault of the suite, in the order of docs/results/reliability.md. */
import { CLIENT_CASES } from './clients.ts';
import { DISK_CASES } from './disk.ts';
import type { FaultCase } from './fault-case.ts';
import { KEYED_CASES } from './keyed.ts';
import { KILL_CASES } from './kill.ts';
import { PROCESS_CASES } from './process.ts';
import { STORAGE_CASES } from './storage.ts';
import { THREAD_CASES } from './threads.ts';
import { WRITE_AHEAD_CASES } from './write-ahead.ts';

export const FAULT_CASES: readonly FaultCase[] = [
  ...KILL_CASES,
  ...KEYED_CASES,
  ...THREAD_CASES,
  ...STORAGE_CASES,
  ...WRITE_AHEAD_CASES,
  ...DISK_CASES,
  ...PROCESS_CASES,
  ...CLIENT_CASES,
];
