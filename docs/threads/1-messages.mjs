// Two threads, two memories: a worker gets a copy of what it is sent.
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

if (isMainThread) {
  const counts = { requests: 1 };
  const worker = new Worker(new URL(import.meta.url)); // this file again, in another thread
  worker.postMessage(counts);
  worker.once('message', (answer) => {
    console.log(`the worker has ${answer.requests}, main still has ${counts.requests}`);
  });
} else {
  parentPort.once('message', (counts) => {
    counts.requests += 41;
    parentPort.postMessage(counts);
  });
}
