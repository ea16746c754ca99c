import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expectEqual, expectThat } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import {
  createEventRing,
  EVENT_RING_RECORDS,
  EventRingConsumer,
} from '../../../src/telemetry/ring-buffer.ts';
import { openRing, read, recordMany } from './rings.ts';

const LINE_WORDS = 16;
/** Both cursors of an empty ring, a few records before they turn negative. */
const LATE = 2 ** 31 - 5;
const THREAD_RECORDS = 200_000;

function checkNextProducer(): void {
  const { memory, producer, consumer } = openRing();
  recordMany(producer, 0, 2);
  producer.publish();
  const next = openRing(memory).producer;
  recordMany(next, 2, 2);
  next.publish();
  expectEqual(read(consumer), [0, 1, 2, 3], {
    did: 'A producer published samples 0 and 1; a second one, opened after it, published 2 and 3. Then the test drained.',
    so: 'the second producer does not go on where the first ended',
  });
}

function checkFullAtOpening(): void {
  const { memory, producer, consumer } = openRing();
  recordMany(producer, 0, EVENT_RING_RECORDS);
  producer.publish();
  recordMany(openRing(memory).producer, -1, 1);
  const got = read(consumer);
  expectThat(got.length === EVENT_RING_RECORDS && got[0] === 0, {
    did: 'A producer filled the ring with 0, 1, 2 and so on; a second one recorded −1. Then the test drained.',
    expected: '8,192 records, the first is 0',
    got: `${got.length.toLocaleString('en-GB')} records, the first is ${got[0] ?? 'missing'}`,
    so: 'the second producer believes that the ring has room',
  });
}

function checkLateCursors(): void {
  const memory = createEventRing();
  const words = new Int32Array(memory);
  words[0] = LATE;
  words[LINE_WORDS] = LATE;
  const { producer, consumer } = openRing(memory);
  for (let round = 0; round < 3; round++) {
    recordMany(producer, round * 10, 10);
    producer.publish();
    const expected = Array.from({ length: 10 }, (_, n) => round * 10 + n);
    expectEqual(read(consumer), expected, {
      did: `The cursors stood at 2,147,483,643. Round ${round + 1} of 10 samples went in and was drained.`,
      so: 'the count does not survive the step from 2,147,483,647 to −2,147,483,648',
    });
  }
  recordMany(producer, 0, EVENT_RING_RECORDS + 1);
  expectEqual([read(consumer).length, consumer.dropped], [EVENT_RING_RECORDS, 1], {
    did: 'After that point the test recorded 8,193 samples and drained.',
    expected: '8,192 records and 1 drop',
  });
}

async function checkThreads(): Promise<void> {
  const memory = createEventRing();
  const consumer = new EventRingConsumer(memory);
  const thread = new Worker(new URL('./ring-thread.js', import.meta.url), {
    workerData: { memory, records: THREAD_RECORDS },
  });
  const ended = once(thread, 'exit');
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  let count = 0;
  let last = -1;
  const drain = (): void => {
    consumer.drain({
      record: ({ clientHash, totalNs, receiveNs }) => {
        expectThat(clientHash > last && totalNs === clientHash && receiveNs === clientHash, {
          did: 'A thread recorded samples whose fields are all the same number, each larger than the one before.',
          expected: `a whole record above ${last}`,
          got: `client ${clientHash}, receive ${receiveNs}, total ${totalNs}`,
        });
        last = clientHash;
        count++;
      },
    });
  };
  while (!hasEnded) {
    drain();
    await new Promise((resolve) => setImmediate(resolve));
  }
  drain();
  expectEqual(count + consumer.dropped, THREAD_RECORDS, {
    did: 'A thread recorded 200,000 samples while the test drained; then the test added the drops.',
    so: 'a record went missing without being counted',
  });
}

export const check: StepModule['check'] = async () => {
  checkNextProducer();
  checkFullAtOpening();
  checkLateCursors();
  await checkThreads();
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the next producer begins at 0',
    find: 'this.published = Atomics.load(this.i32, PUBLISHED_I32);',
    replace: 'this.published = 0;',
  },
  {
    mistake: 'the next producer takes the ring for empty',
    find: 'this.consumed = Atomics.load(this.i32, CONSUMED_I32);',
    replace: 'this.consumed = this.published;',
  },
  {
    mistake: 'cursors are subtracted without wrapping',
    find: 'const ready = difference(Atomics.load(i32, PUBLISHED_I32), this.consumed);',
    replace: 'const ready = Atomics.load(i32, PUBLISHED_I32) - this.consumed;',
  },
];
