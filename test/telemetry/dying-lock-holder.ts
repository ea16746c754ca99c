/** Acquires a lock and ends without releasing it. */
import { parentPort } from 'node:worker_threads';
import { lock } from '../../src/base/futex-lock.ts';
import { awaitStart } from '../support/threads.ts';

export interface LockTaking {
  readonly memory: SharedArrayBuffer;
  readonly index: number;
}

const { memory, index } = awaitStart<LockTaking>();
parentPort!.postMessage(lock(new Int32Array(memory), index, 1000));
