/** Journal rings between real threads: bytes, order and outcomes, in rings that wrap and fill all the time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { createBell } from '../../src/base/bell.ts';
import { createJournalRing } from '../../src/journal/ring.ts';
import type { ConsumerResult, JournalStress, ProducerResult } from '../support/journal-threads.ts';

const THREAD = fileURLToPath(new URL('../support/journal-threads.js', import.meta.url));
const LIMIT_MS = 480_000;

/** Runs one end of a ring in a thread of its own; resolves with its result. */
function runThread<Result>(stress: JournalStress): Promise<Result> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(THREAD, { workerData: stress });
    const limit = setTimeout(() => {
      reject(new Error(`the ${stress.role} is stuck`));
      void thread.terminate();
    }, LIMIT_MS);
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', () => clearTimeout(limit));
  });
}

interface Variant {
  readonly what: string;
  readonly capacityBytes: number;
  readonly origin?: number;
  readonly lines: number;
  readonly lineMaxBytes: number;
  readonly perBatch: number;
  readonly isSlow?: boolean;
}

const VARIANTS: readonly Variant[] = [
  { what: 'a tiny ring', capacityBytes: 4_096, lines: 200_000, lineMaxBytes: 600, perBatch: 3 },
  {
    what: 'a tiny ring whose cursors and counts pass 2^31',
    capacityBytes: 8_192,
    origin: 2 ** 31 - 5_000,
    lines: 150_000,
    lineMaxBytes: 1_000,
    perBatch: 2,
  },
  {
    what: 'a tiny ring whose cursors and counts pass 2^32',
    capacityBytes: 8_192,
    origin: -5_000,
    lines: 150_000,
    lineMaxBytes: 1_000,
    perBatch: 2,
  },
  {
    what: 'a ring with large lines',
    capacityBytes: 1 << 20,
    lines: 20_000,
    lineMaxBytes: 160_000,
    perBatch: 4,
  },
  {
    what: 'a ring that goes back to its start early',
    capacityBytes: 16 << 20,
    lines: 12_000,
    lineMaxBytes: 600_000,
    perBatch: 8,
  },
  {
    what: 'a ring that runs out of run slots',
    capacityBytes: 128 << 10,
    lines: 150_000,
    lineMaxBytes: 60,
    perBatch: 1,
    isSlow: true,
  },
];

for (const { what, capacityBytes, origin, isSlow = false, ...load } of VARIANTS) {
  test(`${what} loses, repeats, reorders and mixes up nothing`, async (t) => {
    const seed = Date.now() >>> 0;
    t.diagnostic(`seed ${seed}`);
    const shared = {
      ring: createJournalRing(capacityBytes, origin),
      bell: createBell(),
      seed,
      isSlow,
      ...load,
    };
    const [produced, consumed] = await Promise.all([
      runThread<ProducerResult>({ ...shared, role: 'producer' }),
      runThread<ConsumerResult>({ ...shared, role: 'consumer' }),
    ]);
    assert.deepEqual(produced.outcomes, consumed.outcomes, `seed ${seed}`);
    assert.ok(produced.timesWrapped > 5, `wrapped ${produced.timesWrapped} times`);
    if (capacityBytes < 1 << 20 || isSlow) assert.ok(produced.timesFull > 0, 'the ring was never full');
    t.diagnostic(
      `${load.lines} lines in ${consumed.groups} groups, wrapped ${produced.timesWrapped}, full ${produced.timesFull} times`,
    );
  });
}
