/** Rotation, retention, and the two ways into a file. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Batch } from '../../src/writer/batch.ts';
import { nodeFileOps, PAGE_BYTES } from '../../src/writer/file-ops.ts';
import { STORED } from '../../src/writer/journal.ts';
import { openNew, pageAlignedBytes, Segment } from '../../src/writer/segment.ts';
import { verified } from '../support/damage.ts';
import { FaultyFileOps, systemError } from '../support/faulty-file-ops.ts';
import { line, temporaryDirectory, WriterRig } from '../support/writer-rig.ts';

test('a segment is closed before a commit would take it past its size; a larger commit gets one to itself', async () => {
  const rig = new WriterRig({ config: { segmentBytes: 2_000 } });
  const texts = [line(1, 700), line(2, 700), line(3, 700), line(4, 5_000), line(5)];
  for (const text of texts) assert.equal(rig.store(text), STORED);
  await rig.stop();
  const stored = rig.segments().map((name) => fs.readFileSync(join(rig.dataDir, name), 'latin1'));
  assert.deepEqual(
    stored.map((text) => [...text.matchAll(/"value":(\d+)/g)].map((match) => match[1])),
    [['1', '2'], ['3'], ['4'], ['5']],
  );
  assert.equal(rig.count('segments_created'), 4);
  assert.equal(rig.count('segment_sequence_now'), 4);
  assert.equal((await verified(rig.dataDir)).code, 0);
  rig.remove();
});

test('rotation syncs the old segment, names the new one, syncs the directory, and only then settles', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { ack: 'written', segmentBytes: 1_000 } });
  rig.store(line(1, 900));
  const before = ops.calls.length;
  const cursor = rig.put(line(2, 900));
  const settledAt: (number | null)[] = [];
  ops.fault = (call) => {
    if (call === 'fsync') settledAt.push(rig.outcome(cursor));
    return undefined;
  };
  rig.turn();
  const calls = ops.calls
    .slice(before)
    .filter((call) => ['fdatasync', 'rename', 'fsync', 'writev'].includes(call));
  assert.deepEqual(calls, ['fdatasync', 'rename', 'fsync', 'writev']);
  assert.deepEqual(settledAt, [null]);
  assert.equal(rig.outcome(cursor), STORED);
  rig.remove();
});

test('a segment that is old enough is closed, also when nothing comes any more', () => {
  const rig = new WriterRig({ config: { segmentAgeMs: 5_000 } });
  rig.store(line(1));
  rig.turn(4_000);
  rig.store(line(2));
  assert.equal(rig.segments().length, 1);
  rig.turn(1_100);
  // Closed, and the next is made only by a commit.
  assert.equal(rig.segments().length, 1);
  rig.store(line(3));
  assert.equal(rig.segments().length, 2);
  rig.remove();
});

test('an idle segment under written is synced before it is closed for its age', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { ack: 'written', segmentAgeMs: 5_000, syncIntervalMs: 60_000 } });
  rig.store(line(1));
  rig.turn(6_000);
  assert.equal(ops.count('fdatasync'), 1);
  assert.equal(rig.count('unsynced_bytes_now'), 0);
  rig.remove();
});

test('a segment is not closed under a background sync that still uses it', async () => {
  const ops = new FaultyFileOps();
  ops.backgroundSyncMs = 50;
  const rig = new WriterRig({ ops, config: { ack: 'written', segmentBytes: 1_000, syncIntervalMs: 10 } });
  rig.store(line(1, 900));
  rig.turn(20);
  // Rotates while the sync is under way; its descriptor must be the same file's to the end.
  for (let id = 2; id < 20; id++) assert.equal(rig.store(line(id, 900)), STORED);
  await rig.until(() => ops.count('fdatasyncInBackground') === 1);
  await rig.stop();
  assert.equal(rig.count('sync_errors'), 0);
  assert.equal((await verified(rig.dataDir)).code, 0);
  rig.remove();
});

test('retention removes whole segments, oldest first, by size and by age, never the open one', async () => {
  const rig = new WriterRig({ config: { segmentBytes: 1_000, retentionBytes: 3_500 } });
  for (let id = 1; id <= 10; id++) assert.equal(rig.store(line(id, 850)), STORED);
  rig.turn(1_100);
  assert.deepEqual(rig.segments(), [
    'metrics-00000008.ndjson',
    'metrics-00000009.ndjson',
    'metrics-00000010.ndjson',
  ]);
  assert.equal(rig.count('segments_deleted'), 7);
  assert.equal((await verified(rig.dataDir)).code, 0);
  await rig.stop();

  const old = Date.now() / 1_000 - 3_600;
  for (const name of rig.segments().slice(0, 2)) fs.utimesSync(join(rig.dataDir, name), old, old);
  const again = new WriterRig({ dataDir: rig.dataDir, config: { retentionAgeMs: 60_000 } });
  again.store(line(11));
  assert.deepEqual(again.segments(), ['metrics-00000010.ndjson', 'metrics-00000011.ndjson']);
  await again.stop();

  const tiny = new WriterRig({ dataDir: rig.dataDir, config: { retentionBytes: 1 } });
  tiny.store(line(12));
  assert.deepEqual(tiny.segments(), ['metrics-00000012.ndjson']);
  await tiny.stop();
  rig.remove();
});

test('without retention settings nothing is ever removed', async () => {
  const rig = new WriterRig({ config: { segmentBytes: 1_000 } });
  for (let id = 1; id <= 20; id++) rig.store(line(id, 900));
  assert.equal(rig.segments().length, 20);
  await rig.stop();
  rig.remove();
});

/** Small deterministic generator, so that a failure can be made again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test('buffered and direct writes into one file stay coherent, whatever their sizes, with cuts in between', (t) => {
  const dataDir = temporaryDirectory();
  const context = {
    ops: nodeFileOps,
    staging: pageAlignedBytes(256 << 10),
    directBytes: 8_192,
    counters: new Float64Array(64),
    directRefused: (error: unknown) => t.diagnostic(String(error)),
  };
  const seed = Date.now() >>> 0;
  t.diagnostic(`seed ${seed}`);
  const next = random(seed);
  const segment = new Segment(context, 1, openNew(nodeFileOps, join(dataDir, 'metrics-00000001.ndjson')), 0);
  const reader = fs.openSync(segment.path, 'r');
  let expected = Buffer.alloc(0);
  const batch = new Batch();
  for (let commit = 1; commit <= 400; commit++) {
    // Mostly below and around pages, now and then several stagings long.
    const bytes = Math.ceil(
      next() < 0.1 ? next() * 900_000 : next() < 0.5 ? next() * 40_000 : 4 + next() * 9_000,
    );
    const data = Buffer.alloc(bytes, 0x61 + (commit % 26));
    data.write('}\n', bytes - 2);
    const half = Math.floor(next() * (bytes - 2));
    batch.clear();
    if (half > 0) batch.add(data, 0, half, 1);
    batch.add(Buffer.from(data), half, bytes - half, 1);
    batch.seal(commit);
    const pieces = Buffer.concat(batch.pieces);
    if (next() < 0.2) {
      // A write that fails half way: the file must be as before, for readers through the page cache too.
      const failing = { ...context, ops: failingOnce(next() * pieces.length) };
      Object.assign(segment, { context: failing });
      assert.throws(() => segment.append(batch), /injected/);
      Object.assign(segment, { context });
    } else {
      segment.append(batch);
      expected = Buffer.concat([expected, pieces]);
    }
    assert.equal(segment.bytes, expected.length);
    assert.equal(fs.fstatSync(reader).size, expected.length);
    const from = Math.floor(next() * expected.length);
    const part = Buffer.alloc(Math.min(200_000, expected.length - from));
    fs.readSync(reader, part, 0, part.length, from);
    assert.ok(
      part.equals(expected.subarray(from, from + part.length)),
      `seed ${seed}, commit ${commit}, from ${from}`,
    );
  }
  segment.sync();
  segment.close();
  fs.closeSync(reader);
  assert.ok(fs.readFileSync(segment.path).equals(expected), `seed ${seed}`);
  fs.rmSync(dataDir, { recursive: true });
});

/** Writes at most `most` bytes, whole pages where it may be a direct write, then fails. */
function failingOnce(most: number): FaultyFileOps {
  const ops = new FaultyFileOps();
  let left = Math.floor(most);
  const take = (length: number, unit: number): number => {
    const taken = left < length ? left - (left % unit) : length;
    if (taken === 0) throw systemError('ENOSPC', 'write');
    left -= taken;
    return taken;
  };
  ops.write = (fd, buffer, offset, length, position) =>
    nodeFileOps.write(fd, buffer, offset, take(length, PAGE_BYTES), position);
  ops.writev = (fd, buffers, position) => {
    const bytes = Buffer.concat(buffers.map((part) => Buffer.from(part)));
    return nodeFileOps.write(fd, bytes, 0, take(bytes.length, 1), position);
  };
  return ops;
}
