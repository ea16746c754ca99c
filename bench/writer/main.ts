/**
 * The writer's parts: handing lines through a journal ring, sealing, and appending commits to a file with and
 * without the page cache. The appends decide the default of `--direct-bytes`; they go to the temporary directory,
 * so point TMPDIR at the disk in question.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { createJournalRing, JournalConsumer, JournalProducer } from '../../src/journal/ring.ts';
import { CommitBuffer } from '../../src/storage/commit-buffer.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { MARKER, SEAL_WHOLE, SealReader } from '../../src/storage/seal.ts';
import { openNew, pageAlignedBytes, Segment } from '../../src/storage/segment.ts';
import { type BenchCase, compare } from '../harness/compare.ts';
import { digestOf } from '../workloads.ts';

const KIB = 1_024;
const LINE =
  '{"timestamp":1700000000000,"name":"cpu.usage","value":42.5,"type":"gauge","tags":{"host":"web-1"}}\n';
const RING_BYTES = 16 << 20;
const COMMITS = 1_000;
const SEGMENT_BYTES = 256 << 20;

function fill(target: Uint8Array, from: number, to: number): void {
  const line = Buffer.from(LINE);
  for (let at = from; at < to; at += line.length)
    target.set(line.subarray(0, Math.min(line.length, to - at)), at);
  target.set(Buffer.from('}\n'), to - 2);
}

/** Lines through a ring within one thread: claim, commit, publish every few, read, release. */
function ringCase(name: string, perPublish: number): BenchCase {
  const memory = createJournalRing(RING_BYTES);
  const producer = new JournalProducer(memory);
  const consumer = new JournalConsumer(memory);
  const pass = (): number => {
    let lines = 0;
    for (let k = 0; k < COMMITS; k += perPublish) {
      for (let commit = 0; commit < perPublish; commit++) {
        const offset = producer.claim(200);
        producer.commit(offset + 117, 1);
      }
      producer.publish();
      while (consumer.next()) lines += consumer.runLines;
      consumer.release();
      producer.storedCursor();
    }
    return lines;
  };
  return { name, perRun: COMMITS, verify: () => assert.equal(pass(), COMMITS), run: pass };
}

await compare({
  title: 'journal ring: claim, commit, publish, read, release',
  unit: 'commit',
  baseline: 'publish each',
  cases: [ringCase('publish each', 1), ringCase('publish every 10', 10), ringCase('publish every 50', 50)],
});

/** A commit of `bytes` in two pieces, as two rings give it. */
class Commits {
  readonly batch = new CommitBuffer();
  private readonly memory: Uint8Array;
  private readonly bytes: number;
  private next = 1;

  constructor(bytes: number) {
    this.bytes = bytes;
    this.memory = new Uint8Array(new SharedArrayBuffer(bytes));
    fill(this.memory, 0, bytes);
  }

  build(): CommitBuffer {
    const { batch, memory, bytes } = this;
    const half = Math.floor(bytes / 2);
    batch.clear();
    batch.add(memory, half, bytes - half, 1);
    batch.add(memory, 0, half, 1);
    batch.seal(this.next++);
    return batch;
  }
}

for (const bytes of [200, 12_000]) {
  const commits = new Commits(bytes);
  await compare({
    title: `seal a commit of ${bytes} bytes`,
    unit: 'commit',
    baseline: 'seal',
    cases: [
      {
        name: 'seal',
        perRun: COMMITS,
        verify: () => {
          const text = Buffer.concat(commits.build().pieces);
          const seal = new SealReader();
          assert.equal(seal.read(text, text.indexOf(MARKER), text.length), SEAL_WHOLE);
        },
        run: () => {
          for (let k = 0; k < COMMITS; k++) commits.build();
        },
      },
    ],
  });
}

/**
 * Where the segments of this process go. They stay until it ends, as a server's do: a file that is deleted gives
 * its pages back, and writing to pages that were in use a moment ago costs a fraction of what new ones cost.
 */
const directory = fs.mkdtempSync(join(os.tmpdir(), 'metricsstream-bench-'));
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
process.once('SIGTERM', () => process.exit());

/** Commits appended to segments, one case's way. */
function appendCase(name: string, bytes: number, directBytes: number, synced: boolean): BenchCase {
  const context = {
    ops: nodeFileOps,
    staging: pageAlignedBytes(1 << 20),
    directBytes,
    counters: new Float64Array(64),
    directRefused: (error: unknown) => {
      throw error;
    },
  };
  const commits = new Commits(bytes);
  const perRun = Math.max(1, Math.floor((256 * KIB) / bytes));
  let segment: Segment | null = null;
  let segments = 0;
  const open = (): Segment => {
    segment?.sync();
    segment?.close();
    const path = join(directory, `${name}-${bytes}-${synced}-${++segments}`);
    segment = new Segment(context, segments, openNew(nodeFileOps, path), 0);
    return segment;
  };
  return {
    name,
    perRun: (perRun * bytes) / KIB,
    verify: () => {
      const opened = open();
      const expected: Buffer[] = [];
      for (let k = 0; k < 5; k++) {
        expected.push(Buffer.concat(commits.build().pieces));
        opened.append(commits.batch);
      }
      assert.ok(fs.readFileSync(opened.path).equals(Buffer.concat(expected)));
    },
    run: () => {
      let current = segment;
      if (current === null || current.bytes > SEGMENT_BYTES) current = open();
      for (let k = 0; k < perRun; k++) {
        current.append(commits.build());
        if (synced) current.sync();
      }
    },
  };
}

for (const synced of [false, true]) {
  for (const kib of [16, 64, 128, 256, 512, 1_024, 4_096]) {
    await compare({
      title: `append ${kib} KiB commits${synced ? ', each synced' : ''}`,
      unit: 'KiB',
      baseline: 'page cache',
      workload: { seed: 0, digest: digestOf(LINE) },
      cases: [
        appendCase('page cache', kib * KIB, 0, synced),
        appendCase('direct', kib * KIB, 4 * KIB, synced),
      ],
    });
  }
}
