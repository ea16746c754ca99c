import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { FaultFileOps, systemError } from '../../load-test/faults/fault-file-ops.ts';
import { type FileOps, nodeFileOps } from '../../src/storage/file-ops.ts';
import { segmentName } from '../../src/storage/segment-name.ts';
import { openLog } from '../../src/wal/open-log.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { readHeader, writeHeader } from '../../src/wal/wal-file.ts';
import { verified } from '../support/damage.ts';
import { startServer, WITH_WAL } from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';
import { line } from '../support/writer-rig.ts';
import { killed, sealed } from './killed-log.ts';
import { GENERATION } from './rig.ts';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

const start = (dataDir: string, generation = GENERATION + 1, ops: FileOps = nodeFileOps) =>
  openLog(ops, dataDir, { count: 1, generation, fileBytes: 64 * BLOCK_BYTES });

const walFiles = (dataDir: string): string[] =>
  fs.readdirSync(dataDir).filter((name) => name.startsWith('.wal'));

const valuesIn = (dataDir: string): number[] => readStored(dataDir).map(({ value }) => value);

/** Damages the commit of `id` in the segment. */
function flip(segment: string, id: number): void {
  const text = fs.readFileSync(segment);
  const at = text.indexOf(`"value":${id},`) + '"value":'.length;
  text[at]! ^= 1;
  fs.writeFileSync(segment, text);
}

function flipBytes(path: string, ...places: number[]): void {
  const file = fs.readFileSync(path);
  for (const at of places) file[at]! ^= 1;
  fs.writeFileSync(path, file);
}

async function assertWhole(dataDir: string, count: number): Promise<void> {
  assert.deepEqual(
    valuesIn(dataDir),
    Array.from({ length: count }, (_, k) => k + 1),
  );
  const { code, text } = await verified(dataDir);
  assert.equal(code, 0, text);
}

describe('opening a log', () => {
  it('appends the records that the segments lack, once', async () => {
    const { dataDir } = killed({ records: 6, copied: 4 });
    const { replay } = start(dataDir);
    assert.equal(replay.records, 2);
    await assertWhole(dataDir, 6);
    assert.equal(start(dataDir, GENERATION + 2).replay.records, 0);
    await assertWhole(dataDir, 6);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('appends all of them when no segment was written', async () => {
    const { dataDir } = killed({ records: 3, copied: 0 });
    assert.equal(start(dataDir).replay.records, 3);
    await assertWhole(dataDir, 3);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('on a full disk says so, and replays once there is room', async () => {
    const { dataDir } = killed({ records: 3, copied: 0 });
    const ops = new FaultFileOps();
    ops.fault = (call) => (call === 'writev' || call === 'write' ? { error: 'ENOSPC' } : undefined);
    assert.throws(
      () => start(dataDir, GENERATION + 1, ops),
      /ENOSPC.*The disk or its quota is full\. Everything acknowledged is kept: free space/,
    );
    assert.equal(start(dataDir).replay.records, 3);
    await assertWhole(dataDir, 3);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('names a file that the disk cannot read, and replays it once the disk can', async () => {
    const { dataDir, rig } = killed({ records: 3, copied: 0 });
    const ops = new FaultFileOps();
    const { open } = ops;
    let opened = '';
    ops.open = (path, flags, mode) => {
      opened = path;
      return open.call(ops, path, flags, mode);
    };
    ops.fault = (call) => (call === 'read' && opened === rig.path ? { error: 'EIO' } : undefined);
    assert.throws(
      () => start(dataDir, GENERATION + 1, ops),
      /EIO, \S*\.wal-0\.bin\. The disk failed there: .*ddrescue/,
    );
    assert.equal(start(dataDir).replay.records, 3);
    await assertWhole(dataDir, 3);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('replays nothing twice if the disk does not give the status of the segment that says how far it is', async () => {
    const { dataDir, segment } = killed({ records: 4, copied: 2 });
    fs.writeFileSync(join(dataDir, segmentName(2)), line(3).slice(0, 20));
    const ops = new FaultFileOps();
    ops.stat = (path) => {
      if (path === segment) throw systemError('EIO', 'stat');
      return nodeFileOps.stat(path);
    };
    assert.equal(start(dataDir, GENERATION + 1, ops).replay.records, 2);
    await assertWhole(dataDir, 4);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('leaves no part of a file for which the disk has no room', () => {
    const { dataDir, rig } = killed({ records: 0, copied: 0 });
    fs.unlinkSync(rig.path);
    const ops = new FaultFileOps();
    ops.fault = (call, nth) => (call === 'write' && nth > 1 ? { error: 'ENOSPC' } : undefined);
    assert.throws(() => start(dataDir, GENERATION + 1, ops), /ENOSPC.*free space/);
    assert.deepEqual(walFiles(dataDir), []);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('removes files whose creation was interrupted, also without a write-ahead log', () => {
    const { dataDir } = killed({ records: 0, copied: 0 });
    const unfinished = join(dataDir, '.wal-3.bin.new');
    fs.writeFileSync(unfinished, Buffer.alloc(BLOCK_BYTES));
    start(dataDir);
    assert.deepEqual(walFiles(dataDir), ['.wal-0.bin']);
    fs.writeFileSync(unfinished, Buffer.alloc(BLOCK_BYTES));
    openLog(nodeFileOps, dataDir, null);
    assert.deepEqual(walFiles(dataDir), []);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('continues a replay that was interrupted at any byte', async () => {
    const { dataDir, rig } = killed({ records: 5, copied: 2 });
    start(dataDir);
    const whole = fs.readFileSync(join(dataDir, segmentName(2)));
    const files = fs.readdirSync(dataDir).filter((name) => name !== segmentName(2));
    const copyOf = (name: string) => fs.readFileSync(join(dataDir, name));
    const log = fs.readFileSync(rig.path);
    for (let length = 0; length < whole.length; length += 7) {
      const again = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
      for (const name of files) fs.writeFileSync(join(again, name), copyOf(name));
      // The header of the first run: the interrupted start had not renewed the file.
      fs.writeFileSync(join(again, '.wal-0.bin'), log);
      writeHeader(
        nodeFileOps,
        join(again, '.wal-0.bin'),
        { lane: 0, generation: GENERATION, checkpoint: 0, start: 0 },
        false,
      );
      fs.rmSync(join(again, 'log.json'), { force: true });
      fs.rmSync(join(again, '.log.json'), { force: true });
      fs.writeFileSync(join(again, segmentName(2)), whole.subarray(0, length));
      start(again);
      assert.deepEqual(valuesIn(again), [1, 2, 3, 4, 5], `interrupted after ${length} bytes`);
      fs.rmSync(again, { recursive: true });
    }
    fs.rmSync(dataDir, { recursive: true });
  });

  it('restores a damaged commit that no sync had covered, with those behind it', async () => {
    const { dataDir, segment } = killed({ records: 6, copied: 6, checkpoint: 2 });
    flip(segment, 4);
    const { repairedBytes, replay } = start(dataDir);
    assert.ok(repairedBytes > 0);
    assert.equal(replay.records, 3);
    await assertWhole(dataDir, 6);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('deletes nothing of damage that a sync had covered', () => {
    const { dataDir, segment } = killed({ records: 6, copied: 6, checkpoint: 5 });
    flip(segment, 4);
    const damaged = fs.readFileSync(segment);
    const { repairedBytes, recovery } = start(dataDir);
    assert.equal(repairedBytes, 0);
    assert.equal(recovery.damagedCommits, 1);
    assert.deepEqual(fs.readFileSync(segment), damaged);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('restores the first commit of a segment after the one before', async () => {
    const { dataDir, segment } = killed({ records: 5, copied: 2, checkpoint: 2 });
    const second = join(dataDir, segmentName(2));
    fs.writeFileSync(second, sealed(3) + sealed(4) + sealed(5));
    flip(second, 3);
    assert.ok(fs.existsSync(segment));
    assert.ok(start(dataDir).repairedBytes > 0);
    await assertWhole(dataDir, 5);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('starts writing far from where the last run may still complete writes', () => {
    const { dataDir, rig } = killed({ records: 6, copied: 6 });
    start(dataDir);
    const { start: first } = readHeader(nodeFileOps, rig.path);
    // Six records of one block; half of the 63 usable blocks further on.
    assert.equal(first, (6 + 31) * BLOCK_BYTES);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('starts writing elsewhere also if the last run was killed in its first write', () => {
    const { dataDir, rig } = killed({ records: 0, copied: 0 });
    start(dataDir);
    assert.equal(readHeader(nodeFileOps, rig.path).start, 31 * BLOCK_BYTES);
    // Killed again before a record is whole: the next start moves on from there.
    start(dataDir, GENERATION + 2);
    assert.equal(readHeader(nodeFileOps, rig.path).start, 62 * BLOCK_BYTES);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('replays every record if a byte of the header is flipped', async () => {
    for (const at of [0, 8, 20, 60, 2048, 2068]) {
      const { dataDir, rig } = killed({ records: 4, copied: 2 });
      flipBytes(rig.path, at);
      const { replay, walSetAside } = start(dataDir);
      assert.equal(replay.records, 2, `byte ${at}`);
      assert.deepEqual(walSetAside, []);
      await assertWhole(dataDir, 4);
      fs.rmSync(dataDir, { recursive: true });
    }
  });

  it('keeps a file whose header and its copy are damaged', () => {
    const { dataDir, rig } = killed({ records: 4, copied: 2 });
    flipBytes(rig.path, 20, 2068);
    const damaged = fs.readFileSync(rig.path);
    const { replay, walSetAside } = start(dataDir);
    assert.equal(replay.records, 0);
    assert.deepEqual(walSetAside, ['.wal-0.bin.damaged']);
    assert.deepEqual(fs.readFileSync(`${rig.path}.damaged`), damaged);
    assert.equal(readHeader(nodeFileOps, rig.path).generation, GENERATION + 1);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('keeps a directory, a pipe and a copy under the names of lanes, and replays each record once', async () => {
    const { dataDir, rig } = killed({ records: 4, copied: 2 });
    fs.copyFileSync(rig.path, join(dataDir, '.wal-1.bin'));
    fs.mkdirSync(join(dataDir, '.wal-2.bin'));
    execFileSync('mkfifo', [join(dataDir, '.wal-3.bin')]);
    fs.symlinkSync('/no/such/file', join(dataDir, segmentName(2)));
    const { replay, walSetAside } = start(dataDir);
    assert.equal(replay.records, 2);
    assert.deepEqual(
      walSetAside,
      [1, 2, 3].map((lane) => `.wal-${lane}.bin.damaged`),
    );
    fs.rmSync(join(dataDir, segmentName(2)));
    await assertWhole(dataDir, 4);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('logs such a file at the start, with a command that shows its lines', async (t) => {
    const { dataDir, rig } = killed({ records: 4, copied: 2 });
    flipBytes(rig.path, 20, 2068);
    const server = await startServer(t, { dataDir, args: ['--workers', '1'], env: WITH_WAL });
    const { level, file, msg } = await server.logged((line) => line.file === '.wal-0.bin.damaged');
    assert.equal(level, 'error');
    const command = /grep -ao '([^']*)' FILE/.exec(String(msg));
    assert.ok(command, String(msg));
    const lines = execFileSync('grep', ['-ao', command[1]!, join(dataDir, String(file))], {
      encoding: 'utf8',
    });
    assert.equal(lines, [1, 2, 3, 4].map((id) => line(id)).join(''));
    await server.stop();
    fs.rmSync(dataDir, { recursive: true });
  });

  it('removes the files of lanes that no longer exist, after their replay', async () => {
    const { dataDir } = killed({ records: 2, copied: 1 });
    assert.equal(openLog(nodeFileOps, dataDir, null).replay.records, 1);
    assert.equal(fs.existsSync(join(dataDir, '.wal-0.bin')), false);
    await assertWhole(dataDir, 2);
    fs.rmSync(dataDir, { recursive: true });
  });
});
