/**
 * The two ends of a journal ring in threads, for stress. The producer writes lines that prove themselves. The consumer
 * checks every byte twice: when it reads a run, and just before it releases it.
 *
 * A line is { sequence u32, length u32, fill }; both determine each byte of the fill. Sequences count up by one, so
 * reordering, loss and repetition all show.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Bell } from '../../src/base/bell.ts';
import { FULL, type Outcome, REFUSED, STORED, UNKNOWN } from '../../src/journal/journal.ts';
import { JournalConsumer, JournalProducer } from '../../src/journal/ring.ts';

export interface JournalStress {
  readonly role: 'producer' | 'consumer';
  readonly ring: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  readonly lines: number;
  readonly seed: number;
  /** Longest line; most are much shorter. */
  readonly lineMaxBytes: number;
  /** Average commits per publication of the producer, and most runs per group of the consumer. */
  readonly perBatch: number;
  /** The consumer waits before it releases a group, so that the producer reaches every limit. */
  readonly isSlow: boolean;
}

export interface ProducerResult {
  /** Outcome of each line. */
  readonly outcomes: Uint8Array;
  readonly timesFull: number;
  readonly timesWrapped: number;
}

export interface ConsumerResult {
  /** The outcome to give to each line. */
  readonly outcomes: Uint8Array;
  readonly groups: number;
}

const LINE_HEADER_BYTES = 8;
const WAIT_MS = 50;

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function fillByte(sequence: number, at: number): number {
  return (Math.imul(sequence, 31) + at * 7) & 0xff;
}

async function produce(stress: JournalStress): Promise<ProducerResult> {
  const { lines, lineMaxBytes, perBatch } = stress;
  const producer = new JournalProducer(stress.ring);
  const bell = new Bell(stress.bell);
  const next = random(stress.seed);
  const outcomes = new Uint8Array(lines);
  /** Cursor and last line of each commit whose outcome is not known yet. */
  const waiting: { cursor: number; from: number; to: number }[] = [];
  let timesFull = 0;
  let timesWrapped = 0;
  let sequence = 0;
  let lastOffset = 0;

  const settle = (): void => {
    const stored = producer.storedCursor();
    while (waiting.length > 0 && ((stored - waiting[0]!.cursor) | 0) >= 0) {
      const { cursor, from, to } = waiting.shift()!;
      outcomes.fill(producer.outcome(cursor), from, to);
    }
  };
  const waitForRoom = async (): Promise<void> => {
    settle();
    // As in an ingest worker, lines without a run slot are published later.
    if (producer.publish()) bell.ring();
    await Promise.race([
      producer.waitForStored(producer.storedCursor()),
      new Promise((resolve) => setTimeout(resolve, WAIT_MS)),
    ]);
  };

  while (sequence < lines) {
    const count = Math.min(lines - sequence, 1 + Math.floor(next() * 3));
    const lengths = Array.from({ length: count }, () =>
      Math.floor(
        LINE_HEADER_BYTES + (next() < 0.02 ? next() : next() * 0.05) * (lineMaxBytes - LINE_HEADER_BYTES),
      ),
    );
    const bytes = lengths.reduce((sum, length) => sum + length, 0);
    // Some claims are abandoned, as for a malformed body.
    if (next() < 0.1) producer.claim(Math.floor(next() * 3 * lineMaxBytes));
    // Some claims exceed the bytes committed and some match, so that runs also end at the ring's end.
    const claimed = next() < 0.5 ? bytes : Math.min(bytes + 500, 3 * lineMaxBytes);
    let offset = producer.claim(claimed);
    while (offset === FULL) {
      timesFull++;
      await waitForRoom();
      offset = producer.claim(claimed);
    }
    if (offset < lastOffset) timesWrapped++;
    lastOffset = offset;
    let at = offset;
    for (const length of lengths) {
      producer.view.setUint32(at, sequence);
      producer.view.setUint32(at + 4, length);
      for (let k = LINE_HEADER_BYTES; k < length; k++) producer.bytes[at + k] = fillByte(sequence, k);
      at += length;
      sequence++;
    }
    waiting.push({ cursor: producer.commit(at, count), from: sequence - count, to: sequence });
    if (next() * perBatch < 1) {
      if (producer.publish()) bell.ring();
      settle();
    }
  }
  while (waiting.length > 0) await waitForRoom();
  return { outcomes, timesFull, timesWrapped };
}

interface Run {
  readonly offset: number;
  readonly bytes: number;
  readonly lines: number;
  readonly firstSequence: number;
}

function consume(stress: JournalStress): ConsumerResult {
  const consumer = new JournalConsumer(stress.ring);
  const bell = new Bell(stress.bell);
  const view = new DataView(consumer.bytes.buffer, consumer.bytes.byteOffset);
  const next = random(stress.seed + 1);
  const outcomes = new Uint8Array(stress.lines);
  let sequence = 0;
  let groups = 0;

  const check = ({ offset, bytes, lines, firstSequence }: Run): void => {
    let at = offset;
    for (let k = 0; k < lines; k++) {
      const expected = firstSequence + k;
      const found = view.getUint32(at);
      if (found !== expected) throw new Error(`line ${found} at ${at} instead of ${expected}`);
      const length = view.getUint32(at + 4);
      for (let byte = LINE_HEADER_BYTES; byte < length; byte++) {
        if (consumer.bytes[at + byte] !== fillByte(expected, byte)) {
          throw new Error(`byte ${byte} of line ${expected} at ${at} is wrong`);
        }
      }
      at += length;
    }
    if (at !== offset + bytes) throw new Error(`a run of ${bytes} bytes holds ${at - offset}`);
  };

  while (sequence < stress.lines) {
    const seen = bell.seen();
    const runs: Run[] = [];
    const first = sequence;
    const most = 1 + Math.floor(next() * stress.perBatch);
    while (consumer.hasOutcomeRoom() && runs.length < most && consumer.next()) {
      const run = {
        offset: consumer.runOffset,
        bytes: consumer.runBytes,
        lines: consumer.runLines,
        firstSequence: sequence,
      };
      check(run);
      runs.push(run);
      sequence += run.lines;
    }
    if (runs.length === 0) {
      bell.sleep(seen, 5);
      continue;
    }
    if (stress.isSlow && groups % 8 === 0) bell.sleep(bell.seen(), 2);
    for (const run of runs) check(run);
    const dice = next();
    const outcome: Outcome = dice < 0.8 ? STORED : dice < 0.9 ? REFUSED : UNKNOWN;
    outcomes.fill(outcome, first, sequence);
    if (outcome !== STORED) consumer.pushOutcome(outcome);
    consumer.release();
    groups++;
  }
  return { outcomes, groups };
}

if (parentPort !== null) {
  const stress = workerData as JournalStress;
  parentPort.postMessage(stress.role === 'producer' ? await produce(stress) : consume(stress));
}
