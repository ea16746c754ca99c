import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FREE, lock, unlock } from '../../src/base/futex-lock.ts';
import * as locked from '../../src/telemetry/locked.ts';
import { SAMPLES_LOCK_I32 } from '../../src/telemetry/locked.ts';
import { sampleOf } from '../support/samples.ts';
import { runThreads } from '../support/threads.ts';
import { telemetryContract } from './contract.ts';
import type { LockTaking } from './dying-lock-holder.ts';

const LOCK_TAKER = new URL('./dying-lock-holder.js', import.meta.url);

async function lockAndDie(memory: SharedArrayBuffer): Promise<number> {
  const [taken] = await runThreads<LockTaking, boolean>(LOCK_TAKER, [{ memory, index: SAMPLES_LOCK_I32 }]);
  assert.equal(taken, true);
  return 0;
}

telemetryContract('locked', locked, lockAndDie);

describe('locked metrics', () => {
  const open = () => {
    const memories = locked.createSampleMemories(2);
    const samples = locked.openSamples(memories);
    const recorders = memories.map(locked.openRecorder);
    return { memory: memories[0]!, words: new Int32Array(memories[0]!), samples, recorders };
  };

  it('use one memory for all threads, and leave its lock free', () => {
    const { words, samples, recorders } = open();
    for (const recorder of recorders) recorder.record(sampleOf());
    samples.drain();
    assert.equal(samples.requests('2xx').count, 2);
    assert.equal(words[SAMPLES_LOCK_I32], FREE);
  });

  it('have the layout of docs/memory-layout.md, and reset the slowest request once main has read it', () => {
    const { memory, samples, recorders } = open();
    recorders[0]!.record(
      sampleOf({
        clientHash: 0x6b306840,
        metrics: 3,
        receiveNs: 12_000,
        limitNs: 450,
        parseNs: 2000,
        encodeNs: 1500,
        queueNs: 400_000,
        totalNs: 420_000,
      }),
    );
    const slowest = Buffer.from(memory, 5120, 24);
    assert.equal(slowest.toString('hex', 0, 16), '4068306bc80000000300000000000000');
    assert.equal(slowest.readDoubleLE(16), 420_000);
    // The sum of the first histogram.
    assert.equal(Buffer.from(memory).readDoubleLE(0), 12_000);
    assert.equal(SAMPLES_LOCK_I32 * 4, 5184);
    assert.equal(memory.byteLength, 5312);
    samples.drain();
    assert.equal(slowest.readDoubleLE(16), 0);
  });

  it('are recorded again once a lock that was held too long is released', () => {
    const { words, samples, recorders } = open();
    assert.ok(lock(words, SAMPLES_LOCK_I32, 1));
    recorders[0]!.record(sampleOf());
    samples.drain();
    assert.deepEqual([samples.dropped, samples.requests('2xx').count], [1, 0]);
    unlock(words, SAMPLES_LOCK_I32);
    recorders[1]!.record(sampleOf());
    samples.drain();
    assert.deepEqual([samples.dropped, samples.requests('2xx').count], [1, 1]);
  });

  it('keep their last values while main cannot get the lock', async () => {
    const { memory, samples, recorders } = open();
    recorders[0]!.record(sampleOf({ clientHash: 9, metrics: 4, totalNs: 50 }));
    samples.drain();
    await lockAndDie(memory);
    samples.drain();
    assert.equal(samples.requests('2xx').sum, 50);
    assert.deepEqual(samples.slowest, { client: '00000009', status: 200, metrics: 4, totalNs: 50 });
  });
});
