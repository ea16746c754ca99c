/** The writer as the server runs it: a thread of its own, fed through shared memory. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Bell } from '../../src/base/bell.ts';
import { Control } from '../../src/base/control.ts';
import { tail } from '../../src/cli/tail.ts';
import { FULL, STORED } from '../../src/journal/journal.ts';
import { JournalProducer } from '../../src/journal/ring.ts';
import { acquireDataDir } from '../../src/storage/data-dir.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { recover } from '../../src/storage/recovery.ts';
import { WRITER } from '../../src/telemetry/counters.ts';
import { readHistogram, WRITER_HISTOGRAM_NAMES, WRITER_HISTOGRAMS } from '../../src/telemetry/histogram.ts';
import { readThreadStats } from '../../src/telemetry/thread-stats.ts';
import { createMemory } from '../../src/writer/group-commit/group-commit.ts';
import type { WriterConfig, WriterMessage, WriterThreadData } from '../../src/writer/writer.ts';
import { verified } from '../support/damage.ts';
import { TextSink } from '../support/text-sink.ts';
import { line, temporaryDirectory, writerThreadData } from '../support/writer-rig.ts';

const ENTRY = fileURLToPath(new URL('../../src/threads/writer-worker.js', import.meta.url));
const RINGS = 2;

class WriterThread {
  readonly data: WriterThreadData;
  readonly control: Control;
  readonly bell: Bell;
  readonly producers: JournalProducer[];
  readonly counters: Float64Array;
  readonly messages: WriterMessage[] = [];
  readonly worker: Worker;
  readonly exited: Promise<unknown>;

  constructor(dataDir: string, config: Partial<WriterConfig>) {
    this.data = writerThreadData(dataDir, createMemory(RINGS, 1 << 20), { ...config, phase: 6 });
    this.control = new Control(this.data.control);
    this.bell = new Bell(this.data.bell);
    this.counters = new Float64Array(this.data.counters);
    this.producers = this.data.memory.journals.map((memory) => new JournalProducer(memory));
    this.worker = new Worker(ENTRY, { workerData: this.data });
    this.worker.on('message', (message: WriterMessage) => this.messages.push(message));
    this.exited = once(this.worker, 'exit');
  }

  async stop(): Promise<void> {
    this.control.stopWriter();
    this.bell.ring();
    assert.deepEqual(await this.exited, [0]);
  }
}

/** Sends lines through one ring, as fast as they are stored; each has to be STORED. */
async function feed({ producers, bell }: WriterThread, ring: number, lines: number): Promise<string> {
  const producer = producers[ring]!;
  let text = '';
  let last = 0;
  for (let id = 0; id < lines; ) {
    const batch = Array.from({ length: Math.min(1 + ((id * 7) % 90), lines - id) }, () => {
      return line(id++ * RINGS + ring, 30);
    }).join('');
    const bytes = Buffer.from(batch);
    let offset = producer.claim(bytes.length);
    while (offset === FULL) {
      await producer.waitForStored(producer.storedCursor());
      offset = producer.claim(bytes.length);
    }
    producer.bytes.set(bytes, offset);
    last = producer.commit(offset + bytes.length, batch.split('\n').length - 1);
    if (producer.publish()) bell.ring();
    text += batch;
  }
  for (let stored = producer.storedCursor(); ((stored - last) | 0) < 0; stored = producer.storedCursor()) {
    await producer.waitForStored(stored);
  }
  assert.equal(producer.outcome(last), STORED);
  return text;
}

function linesOf(text: string, ring: number): string[] {
  return text
    .trimEnd()
    .split('\n')
    .filter((row) => JSON.parse(row).value % RINGS === ring);
}

for (const ack of ['received', 'written', 'synced'] as const) {
  test(`${ack}: stores every line in order while tail and verify read, and ends when asked`, async () => {
    const dataDir = temporaryDirectory();
    const lock = await acquireDataDir(dataDir);
    const writer = new WriterThread(dataDir, {
      ack,
      segmentBytes: 1_500_000,
      directBytes: 30_000,
      syncIntervalMs: 20,
    });
    const out = new TextSink();
    const err = new TextSink();
    const stop = new AbortController();
    const followed = tail({ dataDir, lines: 'all', follow: true, out, err, signal: stop.signal });
    let fed = false;
    const feeding = Promise.all([feed(writer, 0, 20_000), feed(writer, 1, 20_000)]).finally(() => {
      fed = true;
    });
    do {
      const { code, text } = await verified(dataDir);
      assert.equal(code, 0, text);
    } while (!fed);
    const texts = await feeding;
    await writer.stop();
    while (out.text.length < texts[0].length + texts[1].length)
      await new Promise((done) => setTimeout(done, 10));
    stop.abort();
    await followed;
    await lock.release();
    assert.equal(err.text, '');
    for (const [ring, text] of texts.entries())
      assert.deepEqual(linesOf(out.text, ring), text.trimEnd().split('\n'));
    const { code, text } = await verified(dataDir);
    assert.equal(code, 0, text);
    assert.match(text, /40000 lines/);
    assert.doesNotMatch(text, /unfinished/);
    assert.equal(writer.counters[WRITER.lines_written], 40_000);
    assert.equal(writer.counters[WRITER.unsynced_bytes_now], 0);
    const commits = writer.counters[WRITER.commits]!;
    const written = readHistogram(writer.data.histograms, WRITER_HISTOGRAM_NAMES, WRITER_HISTOGRAMS.write_ns);
    assert.equal(written.count, commits);
    assert.ok(readThreadStats(writer.data.stats) !== null);
    fs.rmSync(dataDir, { recursive: true });
  });
}

test('a thread terminated at any moment leaves everything it settled, and the next one continues', async () => {
  const dataDir = temporaryDirectory();
  let settled = '';
  for (let round = 0; round < 6; round++) {
    const writer = new WriterThread(dataDir, { ack: 'written', segmentBytes: 100_000 });
    settled += await feed(writer, 0, 300);
    // More is under way when the end comes.
    void feed(writer, 0, 5_000).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, round));
    await writer.worker.terminate();
  }
  const { truncatedBytes: _, ...report } = recover(nodeFileOps, dataDir);
  assert.equal(report.damagedCommits, 0);
  const { code, text } = await verified(dataDir);
  assert.equal(code, 0, text);
  const out = new TextSink();
  await tail({ dataDir, lines: 'all', follow: false, out, err: new TextSink() });
  const stored = out.text.split('\n');
  const counts = new Map<string, number>();
  for (const row of stored) counts.set(row, (counts.get(row) ?? 0) + 1);
  const expected = new Map<string, number>();
  for (const row of settled.trimEnd().split('\n')) expected.set(row, (expected.get(row) ?? 0) + 1);
  for (const [row, count] of expected) assert.ok((counts.get(row) ?? 0) >= count, row);
  fs.rmSync(dataDir, { recursive: true });
});
