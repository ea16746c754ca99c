import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ceilingPerSecond } from '../../bench/overload/cpu-bound.ts';
import { figure } from '../../bench/overload/finding.ts';
import { flatness } from '../../bench/overload/memory.ts';
import type { PartResult } from '../../bench/overload/part.ts';
import type { Probe } from '../../bench/overload/prober-messages.ts';
import { latencyMs, percentile, summarize } from '../../bench/overload/probes.ts';
import { recoveryMs } from '../../bench/overload/slow-disk.ts';
import { overloadBlocks } from '../../bench/overload/tables.ts';
import { percentileOf } from '../../bench/under-test/exposition.ts';

const SCRIPT = fileURLToPath(new URL('../../bench/overload/main.js', import.meta.url));
/** Longest short run on a busy machine. */
const RUN_TIMEOUT_MS = 600_000;

function runOverload(...args: string[]) {
  return spawnSync(process.execPath, [SCRIPT, ...args], { encoding: 'utf8', timeout: RUN_TIMEOUT_MS });
}

function probe(given: Partial<Probe>): Probe {
  return {
    dueMs: 0,
    sentMs: 0,
    doneMs: 1,
    waited: false,
    outcome: 200,
    lacksRetryAfter: false,
    accepted: 0,
    ownDelayMs: 0,
    stolenMs: 0,
    ...given,
  };
}

test('an overloaded server answers 2xx, 429 or 503 with Retry-After, and stores exactly what it accepts', () => {
  const { status, stdout, stderr } = runOverload('--smoke');
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  for (const part of ['slow-disk', 'stalling-sync', 'cpu-bound', 'abuse']) {
    assert.match(stdout, new RegExp(`^${part}: [1-9]\\d* checks made$`, 'm'));
  }
});

test('an unknown part is refused with those there are', () => {
  const { status, stderr } = runOverload('--only', 'slow-disk,none');
  assert.notEqual(status, 0);
  assert.match(stderr, /choose from slow-disk, .*abuse/);
});

describe('the ceiling of goodput', () => {
  test('is the capacity when no more is answered', () => {
    assert.equal(Math.round(ceilingPerSecond(1, 20_000, 50, 10)), 20_000);
  });

  test('falls by what refusals cost', () => {
    // 20,000 × 50 µs of a core; of 60,000 answers x are accepted: 50x + 10(60,000 − x) = 1,000,000.
    assert.equal(Math.round(ceilingPerSecond(1, 60_000, 50, 10)), 10_000);
  });

  test('is the capacity where a refusal costs as much as an acceptance', () => {
    assert.equal(Math.round(ceilingPerSecond(1, 60_000, 50, 50)), 20_000);
  });

  test('is nothing once refusals take all there is', () => {
    assert.equal(ceilingPerSecond(0.25, 60_000, 20, 10), 0);
  });
});

describe('recovery', () => {
  /** Two probes in each tenth of a second of 6 s; those due within the first `badMs` are bad. */
  const light = (badMs: number, bad: Partial<Probe>): Probe[] =>
    Array.from({ length: 120 }, (_, k) => {
      const dueMs = 1_000 + k * 50;
      const times = { dueMs, sentMs: dueMs, doneMs: dueMs + 20 };
      return probe({ ...times, ...(k * 50 < badMs ? bad : {}) });
    });

  test('is at once when the first half second is normal', () => {
    assert.equal(recoveryMs(light(0, {}), 1_000, 100), 0);
  });

  test('begins after the last refusal', () => {
    assert.equal(recoveryMs(light(700, { outcome: 503 }), 1_000, 100), 1_000);
  });

  test('begins after the last slow answer', () => {
    assert.equal(recoveryMs(light(1_200, { doneMs: 1e6 }), 1_000, 100), 1_500);
  });

  test('never comes when requests go on failing', () => {
    assert.equal(recoveryMs(light(6_000, { outcome: 503 }), 1_000, 100), Number.POSITIVE_INFINITY);
  });
});

describe('memory', () => {
  const MIB = 2 ** 20;
  const samples = (bytes: (second: number) => number) =>
    Array.from({ length: 61 }, (_, atSeconds) => ({ atSeconds, bytes: bytes(atSeconds) }));

  test('that grows until second 20 and stays then is flat', () => {
    const found = flatness(samples((second) => Math.min(second, 20) * MIB + (second % 2) * MIB));
    assert.equal(found.fromSeconds, 20);
    assert.equal(found.rangeBytes, MIB);
    assert.ok(found.isFlat);
  });

  test('that goes on growing is not', () => {
    const found = flatness(samples((second) => second * 0.35 * MIB));
    // 41 samples; the middles of the first and the last eleven are 30 seconds apart.
    assert.equal(Math.round(found.growthBytes), 30 * 0.35 * MIB);
    assert.ok(found.rangeBytes < 16 * MIB);
    assert.ok(!found.isFlat);
  });

  test('that jumps once is not', () => {
    assert.ok(!flatness(samples((second) => (second === 40 ? 50 : 10) * MIB)).isFlat);
  });
});

describe('a probe', () => {
  test('counts from its send, which a timer may have made late', () => {
    assert.equal(latencyMs(probe({ dueMs: 10, sentMs: 12, doneMs: 20 })), 8);
  });

  test('counts from the time it was due when it waited for a connection', () => {
    assert.equal(latencyMs(probe({ dueMs: 10, sentMs: 110, doneMs: 120, waited: true })), 110);
  });

  test('is distinguished from the delay of the prober itself', () => {
    const slow = probe({ doneMs: 40, ownDelayMs: 25, stolenMs: 10 });
    const { p99Ms, serverP99Ms } = summarize('idle', 'GET /health', [slow]);
    assert.deepEqual([p99Ms, serverP99Ms], [40, 5]);
  });
});

test('percentiles are by nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, k) => 100 - k);
  assert.equal(percentile(hundred, 99), 99);
  assert.equal(percentile(hundred, 100), 100);
  assert.equal(percentile([7], 50), 7);
});

test('a percentile of a histogram is that of what came between two readings', () => {
  const reading = (...counts: number[]) =>
    new Map(
      ['0.01', '0.1', '+Inf'].map((bound, k) => [
        `x_seconds_bucket{le="${bound}",stage="queue"}`,
        counts[k]!,
      ]),
    );
  const before = reading(500, 500, 500);
  assert.equal(percentileOf('x_seconds', 'stage="queue"', 99, before, reading(599, 600, 600)), 0.01);
  assert.equal(percentileOf('x_seconds', 'stage="queue"', 99, before, reading(590, 600, 600)), 0.1);
});

test('the tables name the requirements that hold, those that are missed, and plain figures', () => {
  const part: PartResult = {
    name: 'slow-disk',
    findings: [
      figure('goodput', true, '90%'),
      figure('delay', false, '120 ms'),
      figure('share', null, '10%'),
    ],
    tables: { seconds: { head: ['second', 'ms'], rows: [['1', '2.00']] } },
    probes: [summarize('slow disk', 'GET /metrics', [probe({ doneMs: 12 })])],
    data: null,
  };
  const origin = { command: 'npm run bench:overload', machine: 'm', date: 'd', pinning: 'p' };
  const blocks = overloadBlocks({ ...origin, parts: [part], failures: ['abuse: broke'] });
  const lines = blocks.requirements!.split('\n');
  const row = (start: string): string => lines.find((line) => line.startsWith(`| ${start}`)) ?? '';
  assert.match(row('goodput'), /holds \| +90% \|$/);
  assert.match(row('delay'), /MISSED \| +120 ms \|$/);
  assert.match(row('share'), /– \| +10% \|$/);
  assert.match(row('GET /metrics: p99 below 10 ms'), /MISSED \| .*12\.0 ms at the worst \(slow disk\)/);
  assert.match(blocks.origin!, /npm run bench:overload.*FAILED +\| +abuse: broke/s);
  assert.match(blocks.seconds!, /\| 1 +\| 2\.00 \|/);
});
