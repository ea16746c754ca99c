import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LINE_I32 } from '../../src/base/shared-memory.ts';
import * as ringBuffer from '../../src/telemetry/ring-buffer.ts';
import {
  createEventRing,
  EVENT_RING_RECORDS,
  EventRingConsumer,
  EventRingProducer,
} from '../../src/telemetry/ring-buffer.ts';
import { sampleOf } from '../support/samples.ts';
import { telemetryContract } from './contract.ts';

function fill(memory: SharedArrayBuffer): Promise<number> {
  const producer = new EventRingProducer(memory);
  for (let k = 0; k < EVENT_RING_RECORDS; k++) producer.record(sampleOf());
  producer.publish();
  return Promise.resolve(EVENT_RING_RECORDS);
}

telemetryContract('ring buffer', ringBuffer, fill);

describe('an event ring', () => {
  /** The clients of the records that are ready. */
  const drainClients = (consumer: EventRingConsumer): number[] => {
    const clients: number[] = [];
    consumer.drain({ record: ({ clientHash }) => clients.push(clientHash) });
    return clients;
  };

  it('shows nothing before it is published, and all of it in order then', () => {
    const memory = createEventRing();
    const producer = new EventRingProducer(memory);
    const consumer = new EventRingConsumer(memory);
    for (const client of [3, 1, 2]) producer.record(sampleOf({ clientHash: client }));
    assert.deepEqual(drainClients(consumer), []);
    producer.publish();
    assert.deepEqual(drainClients(consumer), [3, 1, 2]);
  });

  it('keeps what it had when it is full, and takes more once that was drained', () => {
    const memory = createEventRing();
    const producer = new EventRingProducer(memory);
    const consumer = new EventRingConsumer(memory);
    const records = EVENT_RING_RECORDS + 2;
    for (let n = 0; n < records; n++) producer.record(sampleOf({ clientHash: n }));
    assert.equal(consumer.dropped, 2);
    // Full, it was published without being told to.
    assert.deepEqual(
      drainClients(consumer),
      Array.from({ length: EVENT_RING_RECORDS }, (_, n) => n),
    );
    producer.record(sampleOf({ clientHash: records }));
    producer.publish();
    assert.deepEqual(drainClients(consumer), [records]);
    assert.equal(consumer.dropped, 2);
  });

  it('opened by a later producer while it is full drops, and loses nothing of the earlier one', async () => {
    const memory = createEventRing();
    const consumer = new EventRingConsumer(memory);
    await fill(memory);
    const later = new EventRingProducer(memory);
    later.record(sampleOf({ clientHash: 7 }));
    assert.equal(consumer.dropped, 1);
    assert.equal(drainClients(consumer).length, EVENT_RING_RECORDS);
    later.record(sampleOf({ clientHash: 8 }));
    later.publish();
    assert.deepEqual(drainClients(consumer), [8]);
  });

  it('goes on past the end of its cursors, also in the hands of another producer', () => {
    const memory = createEventRing();
    // Three records before the cursors, both Int32, turn negative: the line of each is its first word.
    const words = new Int32Array(memory);
    words[0] = 0x7ffffffd;
    words[LINE_I32] = 0x7ffffffd;
    const consumer = new EventRingConsumer(memory);
    for (const generation of [10, 20, 30]) {
      const producer = new EventRingProducer(memory);
      for (let k = 0; k < 5; k++) producer.record(sampleOf({ clientHash: generation + k }));
      producer.publish();
      assert.deepEqual(
        drainClients(consumer),
        [0, 1, 2, 3, 4].map((k) => generation + k),
      );
    }
    assert.ok(words[0] < 0);
    assert.equal(consumer.dropped, 0);
  });
});
