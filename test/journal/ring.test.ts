import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FULL, REFUSED, STORED, UNKNOWN } from '../../src/journal/journal.ts';
import { createJournalRing, isReleased, JournalConsumer, JournalProducer } from '../../src/journal/ring.ts';

function ring(capacityBytes: number, origin = 0) {
  const memory = createJournalRing(capacityBytes, origin);
  return { memory, producer: new JournalProducer(memory), consumer: new JournalConsumer(memory) };
}

/** Claims, commits and publishes one line of `bytes`; returns its cursor. */
function put(producer: JournalProducer, bytes: number): number {
  const offset = producer.claim(bytes);
  assert.notEqual(offset, FULL);
  const cursor = producer.commit(offset + bytes, 1);
  producer.publish();
  return cursor;
}

function takeAll(consumer: JournalConsumer): [number, number, number][] {
  const runs: [number, number, number][] = [];
  while (consumer.next()) runs.push([consumer.runOffset, consumer.runBytes, consumer.runLines]);
  return runs;
}

test('nothing is visible before it is published, and all of it is afterwards', () => {
  const { producer, consumer } = ring(1_024);
  for (const length of [10, 20, 30]) producer.commit(producer.claim(100) + length, 2);
  assert.equal(consumer.next(), false);
  assert.equal(producer.publish(), true);
  assert.deepEqual(takeAll(consumer), [[0, 60, 6]]);
  assert.equal(producer.publish(), false);
});

test('a run never spans the end of the data, also when a line ends exactly there', () => {
  const { producer, consumer } = ring(1_024);
  put(producer, 512);
  takeAll(consumer);
  consumer.release();
  // Two commits before one publish: the first ends at the last byte, the second starts at the first.
  producer.commit(producer.claim(512) + 512, 1);
  assert.equal(producer.claim(100), 0);
  producer.commit(100, 1);
  producer.publish();
  assert.deepEqual(takeAll(consumer), [
    [512, 512, 1],
    [0, 100, 1],
  ]);
});

test('abandoned claims leave no trace, also if they would have wrapped', () => {
  const { producer, consumer } = ring(1_024);
  put(producer, 600);
  takeAll(consumer);
  consumer.release();
  for (let k = 0; k < 10; k++) assert.equal(producer.claim(500), 0);
  assert.equal(producer.claim(400), 600);
  assert.equal(producer.usedBytes, 0);
  assert.equal(producer.claim(512), 0);
  producer.commit(512, 1);
  producer.publish();
  assert.deepEqual(takeAll(consumer), [[0, 512, 1]]);
});

test('after an abandoned small claim at the start, the largest claim still fits an empty ring', () => {
  const early = 4 << 20;
  const { producer, consumer } = ring(16 << 20);
  put(producer, early);
  takeAll(consumer);
  consumer.release();
  producer.storedCursor();
  // Past the early wrap: the small claim would go to the start and skip 12 MiB.
  assert.equal(producer.claim(100), 0);
  assert.equal(producer.claim(8 << 20), early);
  put(producer, 100);
  assert.equal(producer.claim(8 << 20), 100);
  put(producer, 8 << 20);
  assert.equal(consumer.next(), true);
});

test('an early wrap leaves room for another of the largest claims', () => {
  const { producer, consumer } = ring(16 << 20);
  put(producer, 3 << 20);
  put(producer, 3 << 20);
  assert.equal(consumer.next(), true);
  consumer.release();
  // 3 MiB are free at the start: enough for a small line, but not for a line of 3 MiB after it. So it continues at 6 MiB.
  assert.equal(producer.claim(100), 6 << 20);
});

test('skipped bytes are free as soon as the bytes before them are released', () => {
  const { producer, consumer } = ring(1_024);
  put(producer, 600);
  const second = put(producer, 100);
  takeAll(consumer);
  assert.equal(producer.claim(400), FULL);
  consumer.release();
  assert.equal(producer.storedCursor(), second);
  put(producer, 400);
  producer.storedCursor();
  assert.equal(producer.usedBytes, 400);
  assert.equal(producer.claim(512), 400);
});

test('bytes that an early wrap skips are not in use', () => {
  const { producer, consumer } = ring(16 << 20);
  const mebibyte = 1 << 20;
  put(producer, mebibyte);
  // One is outstanding all the time, so that the ring never starts over for free.
  for (let k = 1; k < 9; k++) {
    put(producer, mebibyte);
    assert.equal(consumer.next(), true);
    consumer.release();
  }
  assert.equal(producer.claim(mebibyte), 0);
  put(producer, mebibyte);
  assert.equal(producer.usedBytes, 2 * mebibyte);
  takeAll(consumer);
  consumer.release();
  producer.storedCursor();
  assert.equal(producer.usedBytes, 0);
});

test('is full at its capacity, and not before', () => {
  const { producer, consumer } = ring(1_024);
  for (let k = 0; k < 16; k++) put(producer, 64);
  assert.equal(producer.claim(1), FULL);
  assert.equal(producer.usedBytes, 1_024);
  consumer.next();
  assert.equal(producer.claim(1), FULL);
  consumer.release();
  assert.equal(producer.claim(64), 0);
  assert.equal(producer.claim(65), FULL);
});

test('outcomes name exactly the lines of their group', () => {
  for (const origin of [0, 2 ** 31 - 200, -200, 2 ** 31 - 1, -1]) {
    const { producer, consumer } = ring(1_024, origin);
    const groups: [number, number[]][] = [];
    for (const outcome of [STORED, REFUSED, REFUSED, STORED, UNKNOWN, STORED] as const) {
      groups.push([outcome, [put(producer, 30), put(producer, 40)]]);
      takeAll(consumer);
      if (outcome !== STORED) consumer.pushOutcome(outcome);
      consumer.release();
    }
    producer.storedCursor();
    for (const [outcome, cursors] of groups) {
      for (const cursor of cursors) assert.equal(producer.outcome(cursor), outcome, `origin ${origin}`);
    }
  }
});

test('outcome slots that are asked about become free', () => {
  const { producer, consumer } = ring(4_096);
  for (let k = 0; k < 100; k++) {
    const cursor = put(producer, 30);
    takeAll(consumer);
    assert.equal(consumer.hasOutcomeRoom(), true);
    consumer.pushOutcome(REFUSED);
    consumer.release();
    producer.storedCursor();
    assert.equal(producer.outcome(cursor), REFUSED);
  }
});

test('when all run slots are in use, lines wait and are published once there is room', () => {
  const { producer, consumer } = ring(1 << 20);
  let published = 0;
  let last = 0;
  for (let k = 0; k < 5_000; k++) {
    last = producer.commit(producer.claim(10) + 10, 1);
    if (producer.publish()) published++;
  }
  assert.equal(published, 4_096);
  assert.equal(takeAll(consumer).length, 4_096);
  consumer.release();
  assert.equal(producer.publish(), true);
  assert.deepEqual(takeAll(consumer), [[40_960, 9_040, 904]]);
  consumer.release();
  assert.equal(producer.storedCursor(), last);
});

test('a waiter wakes when lines are settled, and does not sleep if they already are', async () => {
  const { producer, consumer } = ring(1_024);
  const seen = producer.storedCursor();
  put(producer, 10);
  const wake = producer.waitForStored(seen);
  assert.ok(wake !== null);
  takeAll(consumer);
  consumer.release();
  await wake;
  assert.equal(producer.waitForStored(seen), null);
});

test('a cursor that wraps after 2^32 bytes is not confused with an old skip', () => {
  const unit = 1_024;
  const { producer, consumer } = ring(1_024 * unit);
  const pass = (units: number): void => {
    put(producer, units * unit);
    takeAll(consumer);
    consumer.release();
    producer.storedCursor();
  };
  pass(600);
  // Skips from 600 to 1,024.
  pass(500);
  pass(524);
  // The first round had 2,048 units; the rest of 2^32 bytes goes by without another skip.
  for (let left = 2 ** 32 / unit - 2_048; left > 0; left -= 512) pass(512);
  pass(600);
  assert.equal(producer.usedBytes, 0);
  put(producer, 400 * unit);
  assert.equal(producer.usedBytes, 400 * unit);
  assert.equal(producer.claim(600 * unit), 0);
  assert.equal(producer.claim(601 * unit), FULL);
});

test('a ring is released when nothing of its producer is outstanding: published, read or written', () => {
  for (const origin of [0, 5, 2 ** 31 - 1, -1]) {
    const { memory, producer, consumer } = ring(1_024, origin);
    assert.equal(isReleased(memory), true, `fresh, origin ${origin}`);
    for (let round = 0; round < 3; round++) {
      put(producer, 400);
      assert.equal(isReleased(memory), false, 'published');
      takeAll(consumer);
      assert.equal(isReleased(memory), false, 'read');
      consumer.pushOutcome(REFUSED);
      assert.equal(isReleased(memory), false, 'its outcome pushed');
      consumer.release();
      assert.equal(isReleased(memory), true, 'released');
      producer.storedCursor();
      producer.outcome(producer.storedCursor());
    }
  }
});

test('between the stores of a release the ring is not yet released', () => {
  const { memory, producer, consumer } = ring(1_024);
  put(producer, 100);
  put(producer, 100);
  assert.equal(consumer.next(), true);
  consumer.release();
  // One of two runs: TAKEN and RELEASED both are behind.
  assert.equal(isReleased(memory), false);
  const header = new Int32Array(memory, 0, 32);
  // A release first stores the count of runs read, in line 1.
  header[17] = 2;
  assert.equal(isReleased(memory), false);
  header[16] = 200;
  assert.equal(isReleased(memory), true);
});

test('a new producer continues where the last one ended, wherever in the ring that is', () => {
  for (const origin of [0, 2 ** 31 - 3_000, -3_000]) {
    const { memory, consumer } = ring(1_024, origin);
    let seed = 7;
    for (let holder = 0; holder < 200; holder++) {
      assert.equal(isReleased(memory), true);
      const producer = new JournalProducer(memory);
      assert.equal(producer.usedBytes, 0);
      const texts: string[] = [];
      let last = producer.storedCursor();
      for (let k = 0; k <= holder % 3; k++) {
        seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
        // Together at most half the ring, so that there is room wherever they begin.
        const text = `${holder}.${k}.`.padEnd(12 + (seed % 150), 'x');
        const offset = producer.claim(text.length + (seed % 10));
        assert.notEqual(offset, FULL, `origin ${origin}, holder ${holder}`);
        producer.bytes.set(Buffer.from(text), offset);
        last = producer.commit(offset + text.length, 1);
        texts.push(text);
      }
      assert.equal(producer.publish(), true);
      let received = '';
      while (consumer.next()) {
        received += Buffer.from(
          consumer.bytes.subarray(consumer.runOffset, consumer.runOffset + consumer.runBytes),
        );
      }
      consumer.release();
      assert.equal(received, texts.join(''));
      assert.equal(producer.storedCursor(), last);
    }
  }
});

test('outcomes that the last producer never read are not given to the next', () => {
  const { memory, producer, consumer } = ring(1_024);
  for (let k = 0; k < 10; k++) {
    put(producer, 10);
    takeAll(consumer);
    consumer.pushOutcome(UNKNOWN);
    consumer.release();
  }
  // It gave up waiting; its lane is leased to another.
  const next = new JournalProducer(memory);
  const stored = put(next, 10);
  takeAll(consumer);
  consumer.release();
  const refused = put(next, 10);
  takeAll(consumer);
  consumer.pushOutcome(REFUSED);
  consumer.release();
  next.storedCursor();
  assert.equal(next.outcome(stored), STORED);
  assert.equal(next.outcome(refused), REFUSED);
  // Their slots are free again.
  for (let k = 0; k < 15; k++) {
    put(next, 10);
    takeAll(consumer);
    assert.equal(consumer.hasOutcomeRoom(), true);
    consumer.pushOutcome(REFUSED);
    consumer.release();
  }
});
