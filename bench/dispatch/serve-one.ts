/** What a task's own thread does: the one task that it was started with; or, started without, it stays idle. */
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
