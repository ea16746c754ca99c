/** A worker of the ring pool: does what is in its ring, sleeps when that is empty, until it is terminated. */
import { workerData } from 'node:worker_threads';
import { Bell } from '../../src/base/bell.ts';
import type { RingWorkerData } from './ring-pool.ts';
import { TaskWorker } from './task-ring.ts';
import { checksum } from './tasks.ts';

const SLEEP_MAX_MS = 1000;

const { ring, bell: bellMemory } = workerData as RingWorkerData;
const tasks = new TaskWorker(ring);
const bell = new Bell(bellMemory);
for (;;) {
  const seen = bell.seen();
  if (!tasks.work(checksum)) bell.sleep(seen, SLEEP_MAX_MS);
}
