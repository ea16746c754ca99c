/** The copier of the write-ahead log, turned by hand: when it makes a commit of what the lanes hold. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { before, it } from 'node:test';
import { FaultFileOps, systemError } from '../../load-test/faults/fault-file-ops.ts';
import { DISK_FAILED } from '../../src/base/control.ts';
import { STORED } from '../../src/journal/journal.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { openLog } from '../../src/wal/open-log.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { createWalFile, readHeader } from '../../src/wal/wal-file.ts';
import { writeWalSettings } from '../../src/writer/write-ahead/wal-settings.ts';
import { createMemory, createWriter, openJournal } from '../../src/writer/write-ahead/write-ahead.ts';
import { CachedDisk } from '../support/cached-disk.ts';
import { readStored } from '../support/stored.ts';
import { line, type TestedWriter, WriterRig } from '../support/writer-rig.ts';

const GENERATION = 7;
const FILE_BYTES = 64 << 20;
const MIB = 1 << 20;
/** More than the time between two checks of the files. */
const TICK_MS = 2_100;
/** More than the time between two commits. */
const GATHER_MS = 30;

const writeAheadOf = (fileBytes: number): TestedWriter => ({
  name: 'write-ahead',
  createMemory: (lanes, journalBytes) => {
    const memory = createMemory(lanes, journalBytes);
    writeWalSettings(memory.common, { backend: 'blocking', generation: GENERATION, fileBytes });
    return memory;
  },
  openJournal: (parts, lane) => openJournal({ ...parts, lane }),
  createWriter: (parts) => {
    const header = { lane: 0, generation: GENERATION, checkpoint: 0, start: 0 };
    createWalFile(nodeFileOps, parts.config.dataDir, fileBytes, header);
    return createWriter(parts);
  },
});

const writeAhead = writeAheadOf(FILE_BYTES);
/** A file of eight blocks: the first is the header, and each of the others holds a record of one line. */
const smallFile = writeAheadOf(8 * BLOCK_BYTES);

/** Lines of about a MiB. */
function mebibyteOf(first: number): string {
  let text = '';
  for (let id = first; text.length < MIB; id++) text += line(id, 1_000);
  return text;
}

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

it('gathers for a while, but goes on at once while the lanes hold a whole commit', async () => {
  // Not the system's temporary folder: it may be a tmpfs, which has no direct I/O.
  const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
  const rig = new WriterRig({ tested: writeAhead, dataDir, journalBytes: 32 * MIB });
  const sent = Array.from({ length: 10 }, (_, k) => mebibyteOf(1 + 10_000 * k));
  for (const text of sent) rig.put(text);
  // Of ten MiB, two commits of at least four are due at once.
  assert.equal(rig.turn(), true);
  assert.equal(rig.turn(0), true);
  assert.equal(rig.turn(0), false, 'the rest gathers');
  assert.equal(rig.turn(1_000), true);
  assert.equal(rig.turn(1_000), false);
  assert.equal(rig.storedText(), sent.join(''));
  await rig.stop();
  rig.remove();
});

it('creates its file anew if others cut it, and leaves that of another server alone', async () => {
  const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
  const rig = new WriterRig({ tested: writeAhead, dataDir });
  const file = join(dataDir, '.wal-0.bin');
  fs.truncateSync(file);
  rig.turn(TICK_MS);
  assert.equal(fs.statSync(file).size, FILE_BYTES);
  const text = line(1);
  rig.put(text);
  rig.turn(TICK_MS);
  fs.renameSync(dataDir, `${dataDir}-away`);
  fs.mkdirSync(dataDir);
  fs.writeFileSync(file, 'of another server');
  for (let turn = 0; turn < 3; turn++) rig.turn(TICK_MS);
  await rig.stop();
  assert.deepEqual(fs.readdirSync(dataDir), ['.wal-0.bin']);
  assert.equal(fs.readFileSync(file, 'latin1'), 'of another server');
  const segment = fs.readFileSync(join(`${dataDir}-away`, 'metrics-00000001.ndjson'), 'latin1');
  assert.ok(segment.startsWith(text.slice(0, -2)));
  rig.remove();
  fs.rmSync(`${dataDir}-away`, { recursive: true });
});

it('frees no record whose segment a failed background sync leaves in doubt', async () => {
  for (const [change, segmentBytes] of [
    ['full', 1_000],
    ['deleted', 10_000],
  ] as const) {
    const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
    const disk = new CachedDisk();
    const config = { segmentBytes, syncIntervalMs: 10 };
    const rig = new WriterRig({ tested: writeAhead, dataDir, ops: disk, config });
    const segment = join(dataDir, 'metrics-00000001.ndjson');
    rig.put(line(1, 900));
    rig.turn();
    const nth = disk.count('fdatasync') + 1;
    disk.fault = (call, count) => (call === 'fdatasync' && count === nth ? { error: 'EIO' } : undefined);
    // The disk has lost the segment now, and the writer learns that in a later turn of the event loop.
    rig.turn(20);
    if (change === 'deleted') fs.rmSync(segment);
    rig.put(line(2, 900));
    for (let turn = 0; turn < 3; turn++) rig.turn(100);
    assert.equal(readHeader(nodeFileOps, join(dataDir, '.wal-0.bin')).checkpoint, 0, change);
    await rig.until(() => rig.control.disk === DISK_FAILED);
    if (change === 'full') assert.equal(rig.fatal()[0]?.doubtful?.segment, segment);
    await rig.stop();
    openLog(disk, dataDir, null);
    const left = disk.diskOf(dataDir);
    // The seal of the second line says that the deleted segment holds the first.
    assert.deepEqual(
      readStored(left).map(({ value }) => value),
      change === 'full' ? [1, 2] : [2],
    );
    rig.remove();
    fs.rmSync(left, { recursive: true });
  }
});

for (const [found, put, values] of [
  ['by an idle writer', [], [1]],
  ['by the next commit', [2], [1, 2]],
] as const) {
  it(`keeps what a segment holds that others extended and whose sync fails, found ${found}`, async () => {
    const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
    const disk = new CachedDisk();
    const config = { syncIntervalMs: 60_000 };
    const rig = new WriterRig({ tested: smallFile, dataDir, ops: disk, config });
    rig.put(line(1));
    rig.turn();
    fs.appendFileSync(join(dataDir, 'metrics-00000001.ndjson'), 'a note\n');
    const nth = disk.count('fdatasync') + 1;
    disk.fault = (call, count) => (call === 'fdatasync' && count === nth ? { error: 'EIO' } : undefined);
    for (const id of put) rig.put(line(id));
    rig.turn(put.length > 0 ? GATHER_MS : TICK_MS);
    assert.equal(rig.control.disk, DISK_FAILED);
    await rig.stop();
    // Gives up the write-ahead files, so the disk has to have what the segments hold.
    openLog(disk, dataDir, null);
    const left = disk.diskOf(dataDir);
    assert.deepEqual(
      readStored(left).map(({ value }) => value),
      values,
    );
    rig.remove();
    fs.rmSync(left, { recursive: true });
  });
}

it('frees the records of a segment that others took beside the sync that was to free them', async () => {
  const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
  const ops = new FaultFileOps();
  const rig = new WriterRig({ tested: smallFile, dataDir, ops, config: { syncIntervalMs: 10 } });
  let endSync = (): void => assert.fail('no background sync was started');
  const syncAtOnce = ops.fdatasyncInBackground.bind(ops);
  ops.fdatasyncInBackground = (fd, done) => {
    // Nobody would end a later one.
    ops.fdatasyncInBackground = syncAtOnce;
    endSync = () => {
      nodeFileOps.fdatasync(fd);
      done(null);
    };
  };
  for (let id = 1; id <= 7; id++) rig.put(line(id));
  const cursor = rig.put(line(8));
  rig.turn();
  rig.turn(GATHER_MS);
  fs.rmSync(join(dataDir, 'metrics-00000001.ndjson'));
  rig.turn(TICK_MS);
  assert.equal(rig.count('segments_touched'), 1);
  rig.journals[0]!.publish();
  assert.equal(rig.outcome(cursor), null, 'the file is full');
  endSync();
  rig.turn();
  rig.journals[0]!.publish();
  assert.equal(rig.outcome(cursor), STORED);
  await rig.stop();
  assert.equal(rig.storedText(), line(8));
  rig.remove();
});

it('stays failed if the write of a lane fails while the writer meets a full disk', async (t) => {
  const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
  const ops = new FaultFileOps();
  const rig = new WriterRig({ tested: smallFile, dataDir, ops });
  rig.put(line(1));
  ops.fault = (call) => {
    if (call !== 'writev') return undefined;
    const write = t.mock.method(fs, 'writeSync', () => {
      throw systemError('ENOSPC', 'write');
    });
    rig.put(line(2));
    write.mock.restore();
    return { error: 'ENOSPC' };
  };
  rig.turn();
  ops.fault = () => undefined;
  // There is room again, which a probe would find.
  for (let turn = 0; turn < 3; turn++) rig.turn(TICK_MS);
  assert.equal(rig.control.disk, DISK_FAILED);
  assert.match(rig.fatal()[0]?.reason ?? '', /write-ahead log failed/);
  await rig.stop();
  rig.remove();
});

/** The log lines about the write-ahead file so far, as reason or text. */
const fileReports = (rig: WriterRig): string[] =>
  rig.messages.flatMap((message) =>
    message.kind === 'log' && /write-ahead file/.test(message.text)
      ? [String(message.fields.reason ?? message.text)]
      : [],
  );

for (const [lack, limit, reason] of [
  [
    'has no room',
    (ops: FaultFileOps) => {
      ops.free = FILE_BYTES - 1;
    },
    /^fewer than 67108864 bytes are free, .*make room$/,
  ],
  [
    'meets the end of the disk',
    (ops: FaultFileOps) => {
      let fills = 0;
      ops.fault = (call, _nth, bytes) =>
        call === 'write' && bytes === MIB && ++fills > 3 ? { error: 'ENOSPC' } : undefined;
    },
    /ENOSPC/,
  ],
] as const) {
  it(`waits with a new file that ${lack}, fills nothing, and says so once`, async () => {
    const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
    const ops = new FaultFileOps();
    const rig = new WriterRig({ tested: writeAhead, dataDir, ops, config: { minFreeBytes: MIB } });
    const walFiles = () => fs.readdirSync(dataDir).filter((name) => name.startsWith('.wal'));
    limit(ops);
    fs.unlinkSync(join(dataDir, '.wal-0.bin'));
    for (let turn = 0; turn < 3; turn++) {
      rig.turn(TICK_MS);
      assert.deepEqual(walFiles(), []);
    }
    assert.equal(fileReports(rig).length, 1);
    assert.match(fileReports(rig)[0]!, reason);
    ops.free = null;
    ops.fault = () => undefined;
    rig.turn(TICK_MS);
    assert.deepEqual(walFiles(), ['.wal-0.bin']);
    assert.match(fileReports(rig)[1]!, /created it anew$/);
    const text = line(1);
    rig.put(text);
    rig.turn(TICK_MS);
    assert.equal(rig.storedText(), text);
    await rig.stop();
    rig.remove();
  });
}
