/** The gate over real shared state: which reason wins, and what each call consumes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AdmissionControl } from '../../src/admission/control.ts';
import { Gate } from '../../src/admission/gate.ts';
import {
  Control,
  createControlBlock,
  DISK_OK,
  DISK_REFUSING,
  DRAINING,
  READY,
} from '../../src/base/control.ts';
import { Breaker, createBreakerMemory, PERMITS } from '../../src/breaker/breaker.ts';

const NOW_MS = 10_000;
const TARGET_MS = 50;

function open() {
  const control = new Control(createControlBlock());
  control.lifecycle = READY;
  const breaker = new Breaker(
    createBreakerMemory({ failures: 1, errorPercent: 50, windowMs: 10_000, openMs: 1_000 }),
  );
  const queue = { depth: 3, capacity: 8, isFull: false };
  const journal = { usedBytes: 1 << 20, storedCursor: () => 0 };
  const admission = new AdmissionControl(
    { targetDelayMs: TARGET_MS, ack: 'synced', journalBytes: 8 << 20 },
    journal,
    { storedAtMs: 0, fixedMs: 0, bytesPerMs: 0 },
  );
  return { control, breaker, queue, admission, gate: new Gate(control, breaker, queue, admission) };
}

describe('the gate', () => {
  it('lets requests pass while nothing is wrong', () => {
    const { gate } = open();
    assert.equal(gate.atHeaders(NOW_MS), null);
    assert.equal(gate.atBody(NOW_MS), null);
    assert.equal(gate.stateReason, null);
  });

  it('gives one reason, in a fixed order, at the headers and at the body', () => {
    const { gate, control, breaker, queue, admission } = open();
    const reasons = (): unknown[] => [gate.atHeaders(NOW_MS), gate.atBody(NOW_MS)];
    // Published long ago and not stored yet: storage is slower than the target.
    admission.published(1_000, NOW_MS - 20 * TARGET_MS);
    assert.deepEqual(reasons(), ['overloaded', 'overloaded']);
    queue.isFull = true;
    assert.deepEqual(reasons(), ['queue_full', 'queue_full']);
    control.lifecycle = DRAINING;
    assert.deepEqual(reasons(), ['draining', 'draining']);
    assert.ok(gate.draining);
    breaker.failed(breaker.episode, NOW_MS, 'EIO');
    assert.deepEqual(reasons(), ['breaker_open', 'breaker_open']);
    control.disk = DISK_REFUSING;
    assert.deepEqual(reasons(), ['disk_failed', 'disk_failed']);
    control.disk = DISK_OK;
    assert.equal(gate.stateReason, 'breaker_open');
  });

  it("takes a half-open breaker's permit for a body that nothing else refuses, and only then", () => {
    const { gate, breaker, queue } = open();
    breaker.failed(breaker.episode, NOW_MS, 'EIO');
    assert.ok(breaker.tryHalfOpen(NOW_MS + 1_000));
    queue.isFull = true;
    for (let n = 0; n < 2 * PERMITS; n++) {
      assert.equal(gate.atBody(NOW_MS + 1_000), 'queue_full');
      assert.equal(gate.atHeaders(NOW_MS + 1_000), 'queue_full');
    }
    queue.isFull = false;
    const bodies = Array.from({ length: PERMITS + 1 }, () => gate.atBody(NOW_MS + 1_000));
    assert.deepEqual(bodies, [...Array<null>(PERMITS).fill(null), 'breaker_open']);
  });

  it('describes the delay only if the delay is the reason', () => {
    const { gate } = open();
    assert.deepEqual(gate.factsFor('queue_full'), { depth: 3, capacity: 8 });
    assert.deepEqual(gate.factsFor('overloaded'), { depth: 3, capacity: 8, delayMs: 0, targetMs: TARGET_MS });
  });
});
