import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as lockFree from '../../src/limiter/lock-free.ts';
import * as stripedLock from '../../src/limiter/striped-lock.ts';
import { createEventRing, EventRingProducer } from '../../src/telemetry/ring-buffer.ts';
import { sampleOf } from '../support/samples.ts';

/** The example bytes of a section of docs/memory-layout.md: offset → hexadecimal bytes. */
function workedBytes(section: string): Map<number, string> {
  const text = readFileSync('docs/memory-layout.md', 'utf8').split(`## ${section}\n`)[1]!.split(/^## /m)[0]!;
  const lines = [...text.matchAll(/^ *(\d+) {2}((?:[0-9a-f]{2} )+) /gm)];
  return new Map(lines.map(([, offset, bytes = '']) => [Number(offset), bytes.trim()]));
}

function assertBytes(memory: SharedArrayBuffer, expected: Map<number, string>): void {
  for (const [offset, bytes] of expected) {
    const actual = Buffer.from(new Uint8Array(memory, offset, bytes.split(' ').length)).toString('hex');
    assert.equal(actual, bytes.replaceAll(' ', ''), `at ${offset}`);
  }
}

describe('the example bytes in docs/memory-layout.md', () => {
  for (const [section, lines, bytes, { createLimiterMemory, openLimiter }] of [
    ['Limiter table', 9, 9_927_008, stripedLock],
    ['Lock-free limiter table', 10, 5_764_096, lockFree],
  ] as const) {
    it(`equal those of the ${section}`, () => {
      const config = { requestRate: 10, requestBurst: 3, metricRate: 0, metricBurst: 0, clients: 65_536 };
      const memory = createLimiterMemory(config, { sets: 2, ways: 16 });
      new Uint8Array(memory).set([0, 1, 2, 3, 4, 5, 6, 7]);
      const limiter = openLimiter(memory, config);
      const key = Buffer.from('10.0.0.1');
      for (let k = 0; k < 5; k++) limiter.chargeRequest(key, key.length, 60_000);
      const expected = workedBytes(section);
      assert.equal(expected.size, lines);
      assertBytes(memory, expected);
      assert.equal(createLimiterMemory(config).byteLength, bytes);
    });
  }

  it('equal those of the event ring', () => {
    const memory = createEventRing();
    const ring = new EventRingProducer(memory);
    ring.record(
      sampleOf({
        clientHash: 0x6b306840,
        status: 200,
        metrics: 3,
        receiveNs: 12_000,
        limitNs: 450,
        parseNs: 2000,
        encodeNs: 1500,
        queueNs: 400_000,
        totalNs: 420_000,
      }),
    );
    ring.publish();
    const expected = workedBytes('Event ring');
    assert.equal(expected.size, 9);
    assertBytes(memory, expected);
    assert.equal(memory.byteLength, 524_480);
  });
});
