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
  /** The clients of the published records. */
  const drainClients = (consumer: EventRingConsumer): number[] => {
    const clients: number[] = [];
    consumer.drain({ record: ({ clientHash }) => clients.push(clientHash) });
    return clients;
  };

  it('delivers nothing before it is published, and then everything in order', () => {
    const memory = createEventRing();
    const producer = new EventRingProducer(memory);
    const consumer = new EventRingConsumer(memory);
    for (const client of [3, 1, 2]) producer.record(sampleOf({ clientHash: client }));
    assert.deepEqual(drainClients(consumer), []);
    producer.publish();
    assert.deepEqual(drainClients(consumer), [3, 1, 2]);
  });

  it('keeps its records when it is full, and accepts more once they are drained', () => {
    const memory = createEventRing();
    const producer = new EventRingProducer(memory);
    const consumer = new EventRingConsumer(memory);
    const records = EVENT_RING_RECORDS + 2;
    for (let n = 0; n < records; n++) producer.record(sampleOf({ clientHash: n }));
    assert.equal(consumer.dropped, 2);
    // A full ring publishes by itself.
    assert.deepEqual(
      drainClients(consumer),
      Array.from({ length: EVENT_RING_RECORDS }, (_, n) => n),
    );
    producer.record(sampleOf({ clientHash: records }));
    producer.publish();
    assert.deepEqual(drainClients(consumer), [records]);
    assert.equal(consumer.dropped, 2);
  });

  it('opened by a later producer while it is full drops its records and keeps the earlier ones', async () => {
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

  it('continues across the wrap of its cursors, also with another producer', () => {
    const memory = createEventRing();
    // Three records before both Int32 cursors turn negative. Each cursor is the first word of its line.
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
