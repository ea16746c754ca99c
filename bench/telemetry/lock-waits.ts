/**
 * Preloaded into a server, tells what each thread met at its locks, once a second and when it ends, if it met anything:
 *
 *     node --import ./dist/bench/telemetry/lock-waits.js dist/src/main.js serve --revert telemetry
 */
import { writeSync } from 'node:fs';
import { isMainThread, threadId } from 'node:worker_threads';
import { lockWaits } from '../../src/base/futex-lock.ts';

const STDERR = 2;
let told = 0;

function tell(): void {
  if (lockWaits.contended === told) return;
  told = lockWaits.contended;
  writeSync(STDERR, `thread ${threadId}: ${JSON.stringify(lockWaits)}\n`);
}

if (!isMainThread) {
  setInterval(tell, 1000).unref();
  process.on('exit', tell);
}
