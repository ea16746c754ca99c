/**
 * Gives the memory of an array buffer back at once.
 *
 * V8 frees a buffer when it collects it, and waits with that for tens of MiB of them. A message takes over the buffers it
 * transfers; one to a closed port goes nowhere, and its buffers end with it.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';

let nowhere: MessagePort | null = null;

/** Frees `buffer`: its views have length 0 from now on. Nothing else, also no other thread, may still use it. */
export function freeMemory(buffer: ArrayBuffer): void {
  if (nowhere === null) {
    nowhere = new MessageChannel().port1;
    nowhere.close();
  }
  nowhere.postMessage(null, [buffer]);
}
