/** Shared by the steps of the event ring. */

import { createEventRing, EventRingConsumer, EventRingProducer } from '../../../src/telemetry/ring-buffer.ts';
import type { Sample } from '../../../src/telemetry/sample.ts';
import { sampleOf } from '../../support/samples.ts';

export interface OpenRing {
  readonly memory: SharedArrayBuffer;
  readonly producer: EventRingProducer;
  readonly consumer: EventRingConsumer;
}

export function openRing(memory: SharedArrayBuffer = createEventRing()): OpenRing {
  return { memory, producer: new EventRingProducer(memory), consumer: new EventRingConsumer(memory) };
}

/** Records `count` samples whose client is their number, from `first` on. */
export function recordMany(producer: EventRingProducer, first: number, count: number): void {
  for (let n = first; n < first + count; n++) producer.record(sampleOf({ clientHash: n }));
}

/** The clients of the records that a drain finds. */
export function read(consumer: EventRingConsumer): number[] {
  const clients: number[] = [];
  consumer.drain({ record: ({ clientHash }) => clients.push(clientHash) });
  return clients;
}

/** All fields of the records that a drain finds. */
export function readWhole(consumer: EventRingConsumer): Sample[] {
  const samples: Sample[] = [];
  consumer.drain({ record: (sample) => samples.push({ ...sample }) });
  return samples;
}
