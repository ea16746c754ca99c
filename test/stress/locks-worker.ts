/** Increments plain words under locks, or acquires a lock and ends without releasing it. */
import { parentPort } from 'node:worker_threads';
import { lock, unlock } from '../../src/base/futex-lock.ts';
import { awaitStart } from '../support/threads.ts';

export interface Locking {
  /** Lock words, and at the same index the words that they guard. */
  readonly locks: SharedArrayBuffer;
  readonly guarded: SharedArrayBuffer;
  /** Increments per thread; 0: acquire lock 0 and end. */
  readonly increments: number;
  readonly boundMs: number;
}

export interface Locked {
  readonly done: number;
  readonly timedOut: number;
}

function increment({ locks, guarded, increments, boundMs }: Locking): Locked {
  const words = new Int32Array(locks);
  const values = new Float64Array(guarded);
  if (increments === 0) return { done: lock(words, 0, boundMs) ? 1 : 0, timedOut: 0 };
  let done = 0;
  let timedOut = 0;
  for (let k = 0; k < increments; k++) {
    const index = k % words.length;
    if (!lock(words, index, boundMs)) {
      timedOut++;
      continue;
    }
    values[index]! += 1;
    done++;
    unlock(words, index);
  }
  return { done, timedOut };
}

parentPort!.postMessage(increment(awaitStart<Locking>()));
