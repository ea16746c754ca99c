/** The threads of the steps: the checker loads this module, so it sees the accesses to the counter too. */
import { lock, unlock } from '../../../src/base/futex-lock.ts';

export const COUNTER = 16;

/** @returns whether the thread got the lock */
export function countBehindLock(memory: SharedArrayBuffer, boundMs: number, sliceMs: number): boolean {
  const words = new Int32Array(memory);
  if (!lock(words, 0, boundMs, sliceMs)) return false;
  words[COUNTER]! += 1;
  unlock(words, 0);
  return true;
}
