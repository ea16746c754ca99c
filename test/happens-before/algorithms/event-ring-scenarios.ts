/**
 * Scenarios of the event ring: `src/telemetry/ring-buffer.ts`, and whatever a learner writes in its place.
 *
 * Every field of record n is derived from n, so a record that is torn, lost, repeated or out of order shows.
 */
import type { Layout, Prepared, Scenario } from '../../../src/happens-before/scenario.ts';

interface Record {
  clientHash: number;
  status: number;
  metrics: number;
  receiveNs: number;
  limitNs: number;
  parseNs: number;
  encodeNs: number;
  queueNs: number;
  totalNs: number;
}

export interface EventRingModule {
  readonly EVENT_RING_RECORDS: number;
  createEventRing(): SharedArrayBuffer;
  readonly EventRingProducer: new (
    memory: SharedArrayBuffer,
  ) => {
    record(sample: Record): void;
    publish(): void;
  };
  readonly EventRingConsumer: new (
    memory: SharedArrayBuffer,
  ) => {
    readonly dropped: number;
    drain(sink: { record(sample: Record): void }, max?: number): number;
  };
}

const LINE_BYTES = 64;

const eventRingLayout: Layout = [
  { name: 'PUBLISHED', byte: 0, bytes: 4 },
  { name: 'CONSUMED', byte: LINE_BYTES, bytes: 4 },
  {
    name: 'DROPPED',
    byte: 2 * LINE_BYTES,
    bytes: 8,
    late: 'one thread counts, and main may read a count that is a few drops old',
    lateReaders: ['main'],
  },
  { name: 'records', byte: 3 * LINE_BYTES, bytes: 8192 * LINE_BYTES },
];

function sampleOf(n: number): Record {
  return {
    clientHash: n,
    status: n + 1,
    metrics: n + 2,
    receiveNs: n + 3,
    limitNs: n + 4,
    parseNs: n + 5,
    encodeNs: n + 6,
    queueNs: n + 7,
    totalNs: n + 8,
  };
}

function isWhole(sample: Record): boolean {
  const n = sample.clientHash;
  return Object.entries(sampleOf(n)).every(([field, value]) => sample[field as keyof Record] === value);
}

/** A worker records `batches` of samples, and main drains a few times beside it, then once after it. */
function workerAndMain(
  { createEventRing, EventRingConsumer, EventRingProducer }: EventRingModule,
  batches: readonly number[],
  drains: number,
): Prepared {
  const memory = createEventRing();
  const worker = () => {
    const producer = new EventRingProducer(memory);
    let n = 0;
    for (const batch of batches) {
      for (let k = 0; k < batch; k++) producer.record(sampleOf(n++));
      producer.publish();
    }
    return n;
  };
  return {
    memories: [{ memory, layout: eventRingLayout }],
    threads: {
      worker,
      main: ({ expect }) => {
        const consumer = new EventRingConsumer(memory);
        const clients: number[] = [];
        const sink = {
          record: (sample: Record) => {
            expect(isWhole(sample), `record ${sample.clientHash} is torn`);
            expect(
              sample.clientHash > (clients.at(-1) ?? -1),
              'records come in the order in which they were made',
            );
            clients.push(sample.clientHash);
          },
        };
        for (let drain = 0; drain < drains; drain++) consumer.drain(sink);
        return clients.length;
      },
    },
    checkEnd: ({ worker: recorded, main: drained }) => {
      const consumer = new EventRingConsumer(memory);
      let left = 0;
      consumer.drain({ record: () => left++ });
      const found = (drained as number) + left + consumer.dropped;
      if (found !== recorded)
        throw new Error(`${recorded} records were made; ${found} were drained or dropped`);
    },
  };
}

/** The publication of a few records: finds what makes main read a record too early. Answers within a second. */
export const publishScenario: Scenario<EventRingModule> = {
  name: 'a worker publishes, main drains',
  prepare: (modules) => workerAndMain(modules, [2, 1], 2),
};

/** More records than fit: finds what makes the worker write over a record that main still reads. */
export const fullScenario: Scenario<EventRingModule> = {
  name: 'the ring fills while main drains',
  prepare: (modules) => workerAndMain(modules, [modules.EVENT_RING_RECORDS, 1, 1], 2),
};

/** A producer ends, and the next one continues on its ring. */
export const successorScenario: Scenario<EventRingModule> = {
  name: 'a second worker continues on the ring of the first',
  prepare: (modules) => {
    const { memories, threads } = workerAndMain(modules, [2], 3);
    const { EventRingProducer } = modules;
    return {
      memories,
      threads: {
        ...threads,
        successor: () => {
          const producer = new EventRingProducer(memories[0]!.memory);
          producer.record(sampleOf(100));
          producer.record(sampleOf(101));
          producer.publish();
        },
      },
      after: { successor: ['worker'] },
    };
  },
};
