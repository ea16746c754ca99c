/** Group commit: the contract of every writer, and what only this one does. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FaultFileOps } from '../../load-test/faults/fault-file-ops.ts';
import { REFUSED, STORED } from '../../src/journal/journal.ts';
import { verified } from '../support/damage.ts';
import { groupCommit, line, WriterRig } from '../support/writer-rig.ts';
import { writerContract } from './contract.ts';
import { writerFaultContract } from './fault-contract.ts';
import { otherProcessesContract } from './other-processes-contract.ts';

/** More than the time between two probes. */
const PROBE_MS = 300;

writerContract(groupCommit);
writerFaultContract(groupCommit);
otherProcessesContract(groupCommit);

test('stores what several rings publish as one sealed commit a turn', async () => {
  const rig = new WriterRig({ lanes: 2 });
  const first = rig.put(line(1) + line(2), 0);
  const second = rig.put(line(3), 1);
  assert.equal(rig.outcome(first, 0), null);
  assert.equal(rig.turn(), true);
  assert.equal(rig.outcome(first, 0), STORED);
  assert.equal(rig.outcome(second, 1), STORED);
  assert.equal(rig.turn(), false);
  await rig.stop();
  assert.deepEqual(rig.segments(), ['metrics-00000001.ndjson']);
  assert.equal(rig.storedText(), line(1) + line(2) + line(3));
  assert.equal(rig.count('commits'), 1);
  assert.equal(rig.count('lines_written'), 3);
  rig.remove();
});

test('reads a few MiB from a busy ring, then serves the others', () => {
  const rig = new WriterRig({ lanes: 2, journalBytes: 32 << 20 });
  const text = line(1, 100).repeat(2_000);
  let busy = 0;
  for (let k = 0; k < 40; k++) busy = rig.put(text, 0);
  const quiet = rig.put(line(7), 1);
  rig.turn();
  assert.equal(rig.outcome(busy, 0), null);
  assert.equal(rig.outcome(quiet, 1), null);
  rig.turn();
  assert.equal(rig.outcome(quiet, 1), STORED);
  rig.remove();
});

test('lines written while a background sync runs stay unsynced until the next', async () => {
  const ops = new FaultFileOps();
  ops.fault = (call) => (call === 'fdatasyncInBackground' ? { delayMs: 30 } : undefined);
  const rig = new WriterRig({ ops, config: { ack: 'written', syncIntervalMs: 100 } });
  rig.store(line(1));
  rig.turn(150);
  assert.equal(rig.store(line(2)), STORED);
  await rig.until(() => rig.count('syncs') === 1);
  assert.equal(rig.count('unsynced_lines_now'), 1);
  await rig.stop();
  assert.equal(rig.count('unsynced_lines_now'), 0);
  rig.remove();
});

test('many unsynced bytes are synced before the interval is over, and again when it is', async () => {
  const ops = new FaultFileOps();
  const rig = new WriterRig({
    ops,
    journalBytes: 32 << 20,
    config: { ack: 'written', syncIntervalMs: 10_000 },
  });
  const text = line(1, 100).repeat(20_000);
  while (rig.count('unsynced_bytes_now') < 32 << 20) rig.store(text);
  rig.turn();
  await rig.until(() => rig.count('syncs') === 1);
  assert.equal(rig.count('unsynced_bytes_now'), 0);
  rig.store(line(2));
  rig.turn(9_000);
  assert.equal(ops.count('fdatasyncInBackground'), 1);
  rig.turn(2_000);
  await rig.until(() => rig.count('syncs') === 2);
  await rig.stop();
  rig.remove();
});

test('a rotation waits for the background sync, which may get an error in its place', async () => {
  for (const stops of [false, true]) {
    const ops = new FaultFileOps();
    ops.fault = (call) => (call === 'fdatasyncInBackground' ? { delayMs: 50 } : undefined);
    const rig = new WriterRig({ ops, config: { ack: 'written', segmentBytes: 1_000, syncIntervalMs: 10 } });
    rig.store(line(1, 900));
    rig.turn(20);
    const cursor = rig.put(line(2, 900));
    for (let turn = 0; turn < 3; turn++) rig.turn();
    assert.equal(rig.outcome(cursor), null);
    assert.deepEqual([ops.count('fdatasyncInBackground'), ops.count('fdatasync')], [1, 0]);
    if (!stops) {
      await rig.until(() => rig.count('syncs') === 1);
      rig.turn();
      assert.equal(rig.outcome(cursor), STORED);
    }
    await rig.stop();
    assert.equal(rig.outcome(cursor), STORED);
    assert.equal(rig.storedText(), line(1, 900) + line(2, 900));
    assert.equal(rig.segments().length, 2);
    assert.equal((await verified(rig.dataDir)).code, 0);
    rig.remove();
  }
});

test('a rotation that waits is refused when the background sync fails', async () => {
  const ops = new FaultFileOps();
  const rig = new WriterRig({ ops, config: { ack: 'written', segmentBytes: 1_000, syncIntervalMs: 10 } });
  rig.store(line(1, 900));
  ops.fault = (call) => (call === 'fdatasyncInBackground' ? { error: 'EIO' } : undefined);
  rig.turn(20);
  const cursor = rig.put(line(2, 900));
  rig.turn();
  await rig.until(() => rig.fatal().length === 1);
  rig.turn();
  assert.equal(rig.outcome(cursor), REFUSED);
  assert.deepEqual(
    rig.fatal().map(({ doubtful }) => [doubtful?.segment, doubtful?.lines]),
    [[join(rig.dataDir, 'metrics-00000001.ndjson'), 1]],
  );
  await rig.stop();
  assert.equal(ops.count('fdatasync'), 0);
  rig.remove();
});

test('a segment is not closed under a background sync that still uses it', async () => {
  const ops = new FaultFileOps();
  ops.fault = (call) => (call === 'fdatasyncInBackground' ? { delayMs: 50 } : undefined);
  const rig = new WriterRig({ ops, config: { ack: 'written', syncIntervalMs: 10 } });
  rig.store(line(1));
  rig.turn(20);
  fs.rmSync(join(rig.dataDir, rig.segments()[0]!));
  // Begins other segments while the sync is under way; its descriptor must be the same file's to the end.
  for (let id = 2; id < 20; id++) assert.equal(rig.store(line(id)), STORED);
  assert.deepEqual(rig.segments(), ['metrics-00000002.ndjson']);
  await rig.stop();
  assert.equal(rig.count('sync_errors'), 0);
  rig.remove();
});

test('a worker that does not read outcomes holds up only itself', () => {
  const ops = new FaultFileOps();
  const rig = new WriterRig({ ops, lanes: 2 });
  ops.fault = (call) => (call === 'writev' || call === 'write' ? { error: 'ENOSPC' } : undefined);
  const cursors: number[] = [];
  for (let k = 0; k < 20; k++) {
    cursors.push(rig.put(line(k), 0));
    rig.turn();
  }
  ops.fault = () => undefined;
  rig.turn(PROBE_MS);
  const other = rig.put(line(100), 1);
  rig.turn();
  assert.equal(rig.outcome(other, 1), STORED);
  const outcomes: (number | null)[] = [];
  for (const cursor of cursors) {
    if (rig.outcome(cursor, 0) === null) rig.turn();
    outcomes.push(rig.outcome(cursor, 0));
  }
  assert.ok(outcomes.slice(0, 16).every((outcome) => outcome === REFUSED));
  assert.ok(outcomes.slice(16).every((outcome) => outcome === STORED));
  rig.remove();
});

test('with no descriptor left, spares keep rotation going', async () => {
  const ops = new FaultFileOps();
  const rig = new WriterRig({ ops, config: { segmentBytes: 1_000 } });
  const text = line(1, 900);
  rig.store(text);
  rig.turn(1_100);
  ops.fault = (call) => (call === 'open' ? { error: 'EMFILE' } : undefined);
  for (let k = 0; k < 8; k++) {
    assert.equal(rig.store(text), STORED);
    rig.turn(1_100);
  }
  assert.equal(rig.segments().length, 9);
  assert.equal(rig.count('rotation_failures'), 0);
  rig.remove();
});

function acceptsDirectIo(directory: string): boolean {
  const path = join(directory, 'probe');
  try {
    fs.closeSync(fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_DIRECT));
    return true;
  } catch {
    return false;
  } finally {
    fs.rmSync(path, { force: true });
  }
}

test('large commits go past the page cache and read back the same', async (t) => {
  const rig = new WriterRig({ config: { directBytes: 64 << 10 }, journalBytes: 32 << 20 });
  let expected = '';
  for (const lines of [3_000, 1, 20_000, 5, 700, 60_000]) {
    const text = line(lines, 20).repeat(lines);
    expected += text;
    assert.equal(rig.store(text), STORED);
  }
  await rig.stop();
  assert.equal(rig.storedText(), expected);
  if (acceptsDirectIo(rig.dataDir)) assert.ok(rig.count('direct_writes') > 0);
  else t.diagnostic('the temporary directory has no direct I/O: written through the page cache');
  rig.remove();
});

test('direct I/O that the file system refuses is replaced by the page cache, logged once', async () => {
  const ops = new FaultFileOps();
  const rig = new WriterRig({ ops, config: { directBytes: 4_096 } });
  ops.fault = (call) => {
    // The direct write is the one in the middle, on the page boundary.
    return call === 'write' && rig.count('direct_writes') === 0 && ops.count('write') === 1
      ? { error: 'EINVAL' }
      : undefined;
  };
  const text = line(1, 100).repeat(100);
  for (let k = 0; k < 3; k++) assert.equal(rig.store(text), STORED);
  await rig.stop();
  assert.equal(rig.storedText(), text.repeat(3));
  assert.equal(rig.messages.filter((message) => message.kind === 'log').length, 1);
  assert.equal(rig.count('direct_writes'), 0);
  rig.remove();
});
