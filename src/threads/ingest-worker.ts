/** Entry point of a thread that owns connections: receives requests, dispatches them, and answers. */
import { parentPort, workerData } from 'node:worker_threads';
import { raiseInliningBudget } from '../parser/inlining.ts';
import { IngestThread } from './ingest-thread.ts';
import type { FromWorker, IngestWorkerData } from './messages.ts';

const port = parentPort!;

/** If this thread exited, uWebSockets.js would still call into it and abort the process. So park and let main end it. */
function died(error: Error): void {
  port.postMessage({ kind: 'died', error } satisfies FromWorker);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

process.on('uncaughtException', died);
raiseInliningBudget();
(await IngestThread.open(workerData as IngestWorkerData, port, died)).start();
