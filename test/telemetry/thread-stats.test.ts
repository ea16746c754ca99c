import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createThreadStats, readThreadStats, ThreadSampler } from '../../src/telemetry/thread-stats.ts';

test('nothing is reported before the first sample', () => {
  assert.equal(readThreadStats(createThreadStats()), null);
});

test('a sample tells heap, event loop and a delay that a blocked loop causes', async () => {
  const memory = createThreadStats();
  const sampler = new ThreadSampler(memory);
  try {
    // Two ticks of the monitor's timer around a blocked loop.
    await delay(50);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    await delay(50);
    sampler.sample();
    const stats = readThreadStats(memory)!;
    assert.ok(stats.heap_used_bytes > 1e6 && stats.heap_used_bytes <= stats.heap_total_bytes);
    assert.ok(stats.loop_active_ms > 0 && stats.loop_idle_ms > 0);
    assert.ok(stats.loop_delay_max_ns >= 200e6, `${stats.loop_delay_max_ns}`);
    assert.ok(stats.loop_delay_p50_ns <= stats.loop_delay_p99_ns);
    assert.ok(stats.loop_delay_p99_ns <= stats.loop_delay_max_ns);
    // The next interval starts empty.
    sampler.sample();
    assert.ok(readThreadStats(memory)!.loop_delay_max_ns < stats.loop_delay_max_ns);
  } finally {
    sampler.stop();
  }
});

test('garbage collections are counted', async () => {
  const memory = createThreadStats();
  const sampler = new ThreadSampler(memory);
  try {
    const garbage: object[][] = [];
    while ((new Float64Array(memory).at(9) ?? 0) === 0) {
      garbage[0] = Array.from({ length: 50_000 }, () => ({}));
      // Observers run between turns of the loop.
      await delay(1);
    }
    sampler.sample();
    const stats = readThreadStats(memory)!;
    assert.ok(stats.gc_pauses > 0 && stats.gc_ns > 0);
  } finally {
    sampler.stop();
  }
});
