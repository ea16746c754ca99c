/** A task's own thread: runs the task that it was started with, or stays idle without one. */
import { parentPort, workerData } from 'node:worker_threads';
import zlib from 'node:zlib';

export function serveOne(): void {
  const body = workerData as Uint8Array | null;
  if (body !== null) {
    parentPort!.postMessage(zlib.crc32(body) | 0);
    return;
  }
  // Keeps the thread alive.
  parentPort!.on('message', () => {});
  parentPort!.postMessage('idle');
}
