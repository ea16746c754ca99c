/** A start after a sync failed: the page cache shows bytes that the disk lacks, and calls them clean. */
import assert from 'node:assert/strict';
import fs, { constants } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { segmentName } from '../../src/storage/segment-name.ts';
import { openLog } from '../../src/wal/open-log.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { CachedDisk } from '../support/cached-disk.ts';
import { asAfterKill, record } from '../support/damage.ts';
import { readStored } from '../support/stored.ts';
import { killed, sealed } from './killed-log.ts';
import { GENERATION } from './rig.ts';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

const LANES = { count: 1, generation: GENERATION + 1, fileBytes: 64 * BLOCK_BYTES };

const upTo = (count: number): number[] => Array.from({ length: count }, (_, k) => k + 1);

/** Lets the next sync of this kind fail. */
function failNext(disk: CachedDisk, call: 'fsync' | 'fdatasync'): void {
  const nth = disk.count(call) + 1;
  disk.fault = (name, count) => (name === call && count === nth ? { error: 'EIO' } : undefined);
}

/** Writes commits 1 to `synced` and syncs them; the sync of those behind them, up to `last`, fails. */
function writeSegment(disk: CachedDisk, path: string, synced: number, last: number): void {
  const fd = disk.open(path, constants.O_WRONLY | constants.O_CREAT);
  let bytes = 0;
  for (let id = 1; id <= last; id++) {
    const commit = Buffer.from(sealed(id), 'latin1');
    disk.write(fd, commit, 0, commit.length, bytes);
    bytes += commit.length;
    if (id === synced) disk.fdatasync(fd);
  }
  failNext(disk, 'fdatasync');
  assert.throws(() => disk.fdatasync(fd), /EIO/);
  disk.close(fd);
}

/** All that a start finds after a power loss, in segments and in write-ahead files. */
function valuesAfterPowerLoss(disk: CachedDisk, dataDir: string): number[] {
  const left = disk.diskOf(dataDir);
  openLog(nodeFileOps, left, LANES);
  const values = readStored(left).map(({ value }) => value);
  fs.rmSync(left, { recursive: true });
  return values;
}

describe('a start after a failed sync', () => {
  it('keeps what the write-ahead files held', () => {
    const { dataDir, segment } = killed({ records: 6, copied: 0 });
    const disk = new CachedDisk();
    writeSegment(disk, segment, 2, 6);
    assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6));
    assert.equal(openLog(disk, dataDir, LANES).replay.records, 0);
    assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6));
    fs.rmSync(dataDir, { recursive: true });
  });

  it('gives nothing up while its own write or sync fails, and succeeds later', () => {
    for (const [call, error] of [
      ['fsync', 'EIO'],
      ['write', 'EIO'],
      ['write', 'ENOSPC'],
    ] as const) {
      const { dataDir, segment } = killed({ records: 6, copied: 0 });
      const disk = new CachedDisk();
      writeSegment(disk, segment, 2, 6);
      disk.fault = (name) => (name === call ? { error } : undefined);
      for (let start = 1; start <= 3; start++) {
        assert.throws(() => openLog(disk, dataDir, LANES), {
          code: 'DATA_DIR_UNUSABLE',
          message: new RegExp(`${error}, ${segment}`),
        });
        assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6), `${call} ${start}`);
      }
      disk.fault = () => undefined;
      openLog(disk, dataDir, LANES);
      assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6));
      fs.rmSync(dataDir, { recursive: true });
    }
  });

  it('keeps the records whose replay could not be synced', () => {
    const { dataDir } = killed({ records: 6, copied: 4 });
    const disk = new CachedDisk();
    failNext(disk, 'fdatasync');
    assert.throws(() => openLog(disk, dataDir, LANES), { code: 'DATA_DIR_UNUSABLE' });
    assert.ok(fs.existsSync(join(dataDir, segmentName(2))));
    assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6));
    openLog(disk, dataDir, LANES);
    assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6));
    fs.rmSync(dataDir, { recursive: true });
  });

  it('makes durable what readers have seen, without a write-ahead log', () => {
    const { dataDir, segment } = killed({ records: 0, copied: 0 });
    const disk = new CachedDisk();
    writeSegment(disk, segment, 2, 6);
    openLog(disk, dataDir, null);
    assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6));
    fs.rmSync(dataDir, { recursive: true });
  });

  it('writes short pieces to their end, and no torn tail', () => {
    const { dataDir, segment } = killed({ records: 0, copied: 0 });
    const disk = new CachedDisk();
    writeSegment(disk, segment, 2, 6);
    fs.appendFileSync(segment, '{"timestamp":17');
    disk.fault = (call) => (call === 'write' ? { atMost: 10 } : undefined);
    const { truncatedBytes } = openLog(disk, dataDir, null).recovery;
    assert.equal(truncatedBytes, 15);
    assert.deepEqual(valuesAfterPowerLoss(disk, dataDir), upTo(6));
    fs.rmSync(dataDir, { recursive: true });
  });
});

describe('a start writes a segment again', () => {
  /** How many bytes a start writes to the segments. */
  async function bytesWritten(change: (dataDir: string) => void): Promise<{ bytes: number; of: number }> {
    const { dataDir, paths } = await record([1, 1, 1]);
    change(dataDir);
    const { size } = fs.statSync(paths[0]!);
    const disk = new CachedDisk();
    let bytes = 0;
    disk.fault = (call, _, wanted) => {
      if (call === 'write') bytes += wanted;
      return undefined;
    };
    const before = fs.readFileSync(paths[0]!);
    openLog(disk, dataDir, null);
    assert.deepEqual(fs.readFileSync(paths[0]!), before);
    fs.rmSync(dataDir, { recursive: true });
    return { bytes, of: size };
  }

  it('not after an orderly stop, nor when the log record calls all of it durable', async () => {
    assert.equal((await bytesWritten(() => {})).bytes, 0);
    assert.equal((await bytesWritten((dir) => asAfterKill(dir, { segment: 1, commit: 3 }))).bytes, 0);
  });

  it('from the last durable commit on, and whole when no commit is known to be durable', async () => {
    const one = await bytesWritten((dir) => asAfterKill(dir, { segment: 1, commit: 2 }));
    assert.ok(one.bytes > 0 && one.bytes < one.of / 2, JSON.stringify(one));
    const all = await bytesWritten((dir) => asAfterKill(dir));
    assert.equal(all.bytes, all.of);
    const unknown = await bytesWritten((dir) => {
      for (const name of ['log.json', '.log.json']) fs.rmSync(join(dir, name));
    });
    assert.equal(unknown.bytes, unknown.of);
  });
});
