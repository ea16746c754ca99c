import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { STORED } from '../../src/writer/journal.ts';
import { FaultyFileOps } from '../support/faulty-file-ops.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

const SEAL = /^(.*),"seal":\{"commit":(\d+),"bytes":(\d+),"lines":(\d+),"crc32":"([0-9a-f]{8})"\}\}\n$/s;

test('stores what several rings publish as one sealed commit a turn', async () => {
  const rig = new WriterRig({ rings: 2 });
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

test('seals a commit with its number, bytes, lines and the CRC of all before its digits', async () => {
  const rig = new WriterRig();
  rig.store(line(1) + line(2));
  await rig.stop();
  const text = fs.readFileSync(join(rig.dataDir, 'metrics-00000001.ndjson'), 'latin1');
  const match = SEAL.exec(text);
  assert.ok(match, text);
  const [, data, commit, bytes, lines, crc] = match;
  assert.equal(`${data}}\n`, line(1) + line(2));
  assert.deepEqual([commit, bytes, lines], ['1', String(data!.length), '2']);
  const covered = text.slice(0, text.indexOf(`${crc}"}}\n`));
  assert.equal(Number.parseInt(crc!, 16), zlib.crc32(covered));
  for (const row of text.trimEnd().split('\n')) assert.equal(JSON.parse(row).type, 'gauge');
  rig.remove();
});

test('creates no file before the first commit, and leaves only segments behind', async () => {
  const rig = new WriterRig();
  assert.deepEqual(rig.segments(), []);
  await rig.stop();
  assert.deepEqual(fs.readdirSync(rig.dataDir), []);
  const again = new WriterRig({ dataDir: rig.dataDir });
  again.store(line(1));
  await again.stop();
  assert.deepEqual(fs.readdirSync(rig.dataDir), ['metrics-00000001.ndjson']);
  rig.remove();
});

test('a restart continues the commit numbers in a new segment', async () => {
  const rig = new WriterRig();
  rig.store(line(1));
  rig.store(line(2));
  await rig.stop();
  const before = fs.readFileSync(join(rig.dataDir, rig.segments()[0]!));
  const again = new WriterRig({ dataDir: rig.dataDir });
  again.store(line(3));
  await again.stop();
  assert.deepEqual(again.segments(), ['metrics-00000001.ndjson', 'metrics-00000002.ndjson']);
  assert.deepEqual(fs.readFileSync(join(rig.dataDir, 'metrics-00000001.ndjson')), before);
  assert.match(fs.readFileSync(join(rig.dataDir, 'metrics-00000002.ndjson'), 'latin1'), /"commit":3,/);
  rig.remove();
});

test('under synced a line is settled only after a sync that covers it', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { ack: 'synced' } });
  const before = ops.calls.length;
  rig.put(line(1));
  let settledAtSync: number | null = 99;
  ops.fault = (call) => {
    if (call === 'fdatasync') settledAtSync = rig.outcome(1);
    return undefined;
  };
  rig.turn();
  const calls = ops.calls.slice(before);
  assert.ok(
    calls.indexOf('writev') >= 0 && calls.indexOf('fdatasync') > calls.indexOf('writev'),
    calls.join(),
  );
  assert.equal(settledAtSync, null);
  assert.equal(rig.count('unsynced_bytes_now'), 0);
  rig.remove();
});

for (const ack of ['written', 'received'] as const) {
  test(`under ${ack} a line is settled once written, and synced in the background when the interval is over`, async () => {
    const ops = new FaultyFileOps();
    const rig = new WriterRig({ ops, config: { ack, syncIntervalMs: 500 } });
    assert.equal(rig.store(line(1)), STORED);
    assert.equal(ops.count('fdatasync') + ops.count('fdatasyncInBackground'), 0);
    assert.ok(rig.count('unsynced_bytes_now') > 0);
    assert.equal(rig.count('unsynced_lines_now'), 1);
    rig.turn(400);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(ops.count('fdatasyncInBackground'), 0);
    rig.turn(200);
    await rig.until(() => rig.count('syncs') === 1);
    assert.equal(rig.count('unsynced_bytes_now'), 0);
    assert.equal(rig.count('unsynced_lines_now'), 0);
    await rig.stop();
    rig.remove();
  });
}

test('what is written while a background sync runs stays unsynced until the next', async () => {
  const ops = new FaultyFileOps();
  ops.backgroundSyncMs = 30;
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
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, ringBytes: 32 << 20, config: { ack: 'written', syncIntervalMs: 10_000 } });
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

test('a stop stores and syncs all that is published', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, rings: 3, config: { ack: 'written' } });
  let expected = '';
  for (let id = 0; id < 300; id++) rig.put(line(id), id % 3);
  for (const ring of [0, 1, 2]) for (let id = ring; id < 300; id += 3) expected += line(id);
  await rig.stop();
  assert.equal(rig.storedText(), expected);
  assert.ok(ops.calls.lastIndexOf('fdatasync') > ops.calls.lastIndexOf('writev'));
  assert.deepEqual(rig.messages.at(-1), { kind: 'stopped' });
  rig.remove();
});

test('takes a few MiB from a busy ring, then the others have their turn', () => {
  const rig = new WriterRig({ rings: 2, ringBytes: 32 << 20 });
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

test('keeps the order of each ring in the file', async () => {
  const rig = new WriterRig({ rings: 2, config: { segmentBytes: 10_000 } });
  for (let id = 0; id < 2_000; id++) {
    rig.put(line(id), id % 2);
    if (id % 7 === 0) rig.turn();
  }
  await rig.stop();
  assert.ok(rig.segments().length > 10);
  const ids = [...rig.storedText().matchAll(/"value":(\d+)/g)].map((match) => Number(match[1]));
  for (const parity of [0, 1]) {
    assert.deepEqual(
      ids.filter((id) => id % 2 === parity),
      Array.from({ length: 1_000 }, (_, k) => 2 * k + parity),
    );
  }
  rig.remove();
});

function takesDirectIo(directory: string): boolean {
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
  const rig = new WriterRig({ config: { directBytes: 64 << 10 }, ringBytes: 32 << 20 });
  let expected = '';
  for (const lines of [3_000, 1, 20_000, 5, 700, 60_000]) {
    const text = line(lines, 20).repeat(lines);
    expected += text;
    assert.equal(rig.store(text), STORED);
  }
  await rig.stop();
  assert.equal(rig.storedText(), expected);
  if (takesDirectIo(rig.dataDir)) assert.ok(rig.count('direct_writes') > 0);
  else t.diagnostic('the temporary directory has no direct I/O: written through the page cache');
  rig.remove();
});
