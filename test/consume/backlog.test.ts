/** The bound on what a worker of `consume` holds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsMsg } from '@nats-io/jetstream';
import fc from 'fast-check';
import { Backlog } from '../../src/consume/backlog.ts';
import { PART_BYTES } from '../../src/export/parts.ts';

const BATCH_BYTES = 2 << 20;
const HELD_BYTES = 16 << 20;

const messageOf = (bytes: number): JsMsg => ({ data: new Uint8Array(bytes) }) as JsMsg;

describe('backlog', () => {
  it('asks for many small messages, and for few as long as full ones might come', () => {
    const backlog = new Backlog(BATCH_BYTES, HELD_BYTES);
    for (let k = 0; k < 1_000; k++) {
      backlog.add(messageOf(200));
      backlog.take();
      backlog.finished();
    }
    // By the mean of 200 bytes, it would be 256 messages or 128 MiB.
    assert.equal(backlog.room(), HELD_BYTES / PART_BYTES);
  });

  it('never holds more than its bound, whatever sizes come', () => {
    const sizes = fc.array(fc.oneof(fc.constant(PART_BYTES), fc.integer({ min: 1, max: PART_BYTES })), {
      maxLength: 64,
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1_024, max: 8 << 20 }),
        fc.integer({ min: 1 << 20, max: 32 << 20 }),
        sizes,
        (batchBytes, heldBytes, bytes) => {
          const backlog = new Backlog(batchBytes, heldBytes);
          let [next, isApplying] = [0, false];
          while (next < bytes.length) {
            const room = backlog.room();
            for (let k = 0; k < room && next < bytes.length; k++) backlog.add(messageOf(bytes[next++]!));
            assert.ok(backlog.bytes <= Math.max(batchBytes, heldBytes, PART_BYTES));
            if (isApplying) backlog.finished();
            const batch = backlog.take();
            isApplying = batch.length > 0;
            assert.ok(isApplying || backlog.room() > 0, 'it goes on');
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});
