/** A start on files that another process changed: nothing is deleted, numbers never restart, and verify reports it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { FaultFileOps, systemError } from '../../load-test/faults/fault-file-ops.ts';
import { writeArchivedSegments } from '../../src/storage/archived-segments.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { type LogRecord, readLogRecord, writeLogRecord } from '../../src/storage/log-record.ts';
import { needsAttention, recover } from '../../src/storage/recovery.ts';
import { asAfterKill, commitRanges, record, segmentPaths, tailed, verified } from '../support/damage.ts';
import { line, temporaryDirectory, WriterRig } from '../support/writer-rig.ts';

const recordIn = (dataDir: string): LogRecord => readLogRecord(nodeFileOps, dataDir).record!;

/** Stores one more line after a start. */
async function storeOne(dataDir: string): Promise<void> {
  const rig = new WriterRig({ dataDir });
  rig.store(line(99));
  await rig.stop();
}

const flip = (bytes: Buffer, at: number): Buffer => {
  const flipped = Buffer.from(bytes);
  flipped[at]! ^= 1;
  return flipped;
};

/** Changes by others to the end of a segment, and how many of its three commits stay provable. */
const DAMAGED_ENDS: readonly (readonly [string, number, (bytes: Buffer) => Buffer | string])[] = [
  ['a flipped byte in the last commit', 2, (bytes) => flip(bytes, commitRanges(bytes)[2]!.from + 20)],
  [
    'a flipped byte in the number of the last commit',
    2,
    (bytes) => flip(bytes, bytes.lastIndexOf('"commit":') + 9),
  ],
  ['all seals stripped', 0, (bytes) => bytes.toString().replaceAll(/,"seal":\{[^}]*\}/g, '')],
  ['the last seal stripped', 2, (bytes) => bytes.toString().replace(/,"seal":\{[^}]*\}\}\n$/, '}\n')],
  ['CRLF line ends', 0, (bytes) => bytes.toString().replaceAll('\n', '\r\n')],
  ['a missing final newline', 2, (bytes) => bytes.subarray(0, -1)],
  ['a line added by hand', 3, (bytes) => `${bytes}${line(7)}`],
];

describe('a damaged end', () => {
  for (const crash of [false, true]) {
    for (const [what, good, damage] of DAMAGED_ENDS) {
      it(`${what}, after ${crash ? 'kill -9' : 'an orderly stop'}: set aside, good commits stay`, async () => {
        const { dataDir, commits, paths } = await record([2, 1, 3]);
        const path = paths[0]!;
        const before = damage(fs.readFileSync(path));
        fs.writeFileSync(path, before);
        if (crash) asAfterKill(dataDir);
        const report = recover(nodeFileOps, dataDir);
        assert.equal(report.setAside, `${basename(path)}.damaged`);
        assert.equal(report.truncatedBytes, 0);
        assert.ok(needsAttention(report));
        assert.ok(
          fs.readFileSync(join(dataDir, report.setAside)).equals(Buffer.from(before)),
          'byte for byte',
        );
        assert.ok(report.nextCommit > 3, `commit ${report.nextCommit} was in use`);
        assert.equal((await tailed(dataDir)).text, commits.slice(0, good).join(''));
        await storeOne(dataDir);
        assert.equal((await tailed(dataDir)).text, commits.slice(0, good).join('') + line(99));
        const { code, text } = await verified(dataDir);
        // After a crash nobody knows whether the line was a commit.
        assert.equal(code, good === 3 && !crash ? 0 : 1, text);
        assert.match(text, /ndjson\.damaged: set aside by a start/);
        fs.rmSync(dataDir, { recursive: true });
      });
    }
  }

  it('again in a file of the same name: both are kept', async () => {
    const { dataDir, paths } = await record([1, 1]);
    const path = paths[0]!;
    const whole = fs.readFileSync(path);
    for (const suffix of ['.damaged', '.damaged-2', '.damaged-3']) {
      fs.writeFileSync(path, whole.subarray(0, -1));
      assert.equal(recover(nodeFileOps, dataDir).setAside, `metrics-00000001.ndjson${suffix}`);
    }
    fs.rmSync(dataDir, { recursive: true });
  });

  it('on a full disk: left where it is, and the start succeeds', async () => {
    const { dataDir, paths } = await record([1, 1]);
    const damaged = fs.readFileSync(paths[0]!).subarray(0, -1);
    fs.writeFileSync(paths[0]!, damaged);
    const ops = new FaultFileOps();
    ops.fault = (call) => (call === 'copyFile' || call === 'replaceFile' ? { error: 'ENOSPC' } : undefined);
    const report = recover(ops, dataDir);
    assert.deepEqual([report.setAside, report.isRecorded], ['metrics-00000001.ndjson', false]);
    assert.ok(fs.readFileSync(paths[0]!).equals(damaged));
    fs.rmSync(dataDir, { recursive: true });
  });

  it('after an orderly stop no tail counts as torn', async () => {
    const { dataDir, paths } = await record([1, 1]);
    fs.truncateSync(paths[0]!, fs.statSync(paths[0]!).size - 20);
    const report = recover(nodeFileOps, dataDir);
    assert.deepEqual(
      [report.setAside, report.nextCommit, report.missingCommits],
      ['metrics-00000001.ndjson.damaged', 3, 1],
    );
    fs.rmSync(dataDir, { recursive: true });
  });
});

describe('numbers', () => {
  it('continue when every segment was archived after an orderly stop, exactly', async () => {
    const { dataDir, paths } = await record([1, 2], [1]);
    for (const path of paths) fs.renameSync(path, `${path}.archived`);
    await storeOne(dataDir);
    assert.deepEqual(
      segmentPaths(dataDir).map((path) => basename(path)),
      ['metrics-00000003.ndjson'],
    );
    assert.match(fs.readFileSync(segmentPaths(dataDir)[0]!, 'utf8'), /"commit":4,/);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1);
    assert.match(text, /MISSING: commits 1 to 3 are missing/);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('never restart when the segments went after kill -9: the reservation bounds what was in them', async () => {
    const { dataDir, paths } = await record([1, 2, 1, 1]);
    asAfterKill(dataDir, { segment: 1, commit: 1 });
    const { reserved } = recordIn(dataDir);
    fs.rmSync(paths[0]!);
    const report = recover(nodeFileOps, dataDir);
    assert.deepEqual([report.nextSegment, report.nextCommit], [2, reserved + 1]);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('continue exactly when the archiver deleted the last segments before a kill -9', async () => {
    const { dataDir, paths } = await record([1, 2], [1]);
    asAfterKill(dataDir, { segment: 2, commit: 2 });
    fs.mkdirSync(join(dataDir, 'archive'));
    writeArchivedSegments(nodeFileOps, dataDir, { deleted: [[1, 2]], commit: 3 });
    for (const path of paths) fs.rmSync(path);
    const report = recover(nodeFileOps, dataDir);
    assert.deepEqual([report.nextSegment, report.nextCommit, report.missingCommits], [3, 4, 0]);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('never restart when the last segment was emptied after kill -9', async () => {
    const rig = new WriterRig();
    for (let id = 1; id <= 3; id++) rig.store(line(id));
    fs.truncateSync(join(rig.dataDir, rig.segments()[0]!));
    // The first commit of a segment is recorded before it is acknowledged.
    assert.ok(recover(nodeFileOps, rig.dataDir).nextCommit > 3);
    rig.remove();
  });

  it('are exact after kill -9 when the last segment is there, and after a crash that left no commit in it', async () => {
    const rig = new WriterRig({ config: { segmentBytes: 1_000 } });
    for (let id = 1; id <= 3; id++) rig.store(line(id, 900));
    fs.writeFileSync(join(rig.dataDir, 'metrics-00000004.ndjson'), line(4).slice(0, 20));
    const { nextCommit, nextSegment, truncatedBytes } = recover(nodeFileOps, rig.dataDir);
    assert.deepEqual([nextCommit, nextSegment, truncatedBytes], [4, 5, 20]);
    rig.remove();
  });

  it('and id are kept when one copy of the record is lost, damaged or an old one', async () => {
    const { dataDir } = await record([1, 1, 1]);
    const { id } = recordIn(dataDir);
    const old = { ...recordIn(dataDir), commit: 1, segment: 0, reserved: 10 };
    for (const name of ['log.json', '.log.json']) {
      for (const injure of [
        (path: string) => fs.rmSync(path),
        (path: string) => fs.truncateSync(path, 10),
        (path: string) => fs.writeFileSync(path, Buffer.alloc(200)),
        (path: string) => fs.writeFileSync(path, JSON.stringify(old)),
      ]) {
        injure(join(dataDir, name));
        const report = recover(nodeFileOps, dataDir);
        assert.deepEqual([report.log, report.nextCommit, report.nextSegment], [id, 4, 2]);
      }
    }
    fs.rmSync(dataDir, { recursive: true });
  });

  it('continue from the segments, under a new id, when both copies are lost', async () => {
    const { dataDir } = await record([1, 1, 1]);
    const { id } = recordIn(dataDir);
    for (const name of ['log.json', '.log.json']) fs.rmSync(join(dataDir, name));
    const report = recover(nodeFileOps, dataDir);
    assert.notEqual(report.log, id);
    assert.deepEqual([report.nextCommit, report.nextSegment], [4, 2]);
    assert.match(report.recordProblem ?? '', /no log\.json/);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('do not depend on a stale record: the segments know more', async () => {
    const { dataDir } = await record([1, 1, 1]);
    const stale = { ...recordIn(dataDir), commit: 1, segment: 0, reserved: 2, clean: false };
    writeLogRecord(nodeFileOps, dataDir, stale);
    const { nextCommit, nextSegment } = recover(nodeFileOps, dataDir);
    assert.deepEqual([nextCommit, nextSegment], [4, 2]);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('are not disturbed by retention: verify knows which commits it deleted', async () => {
    const rig = new WriterRig({ config: { segmentBytes: 1_000, retentionBytes: 3_000 } });
    for (let id = 1; id <= 9; id++) rig.store(line(id, 900));
    rig.turn(1_100);
    await rig.stop();
    assert.equal(recordIn(rig.dataDir).deletedCommit, 7);
    const { code, text } = await verified(rig.dataDir);
    assert.equal(code, 0, text);
    rig.remove();
  });
});

describe('files that cannot be read', () => {
  it('are an error that names file, code and user', async () => {
    const { dataDir, paths } = await record([1]);
    const ops = new FaultFileOps();
    ops.open = (path, flags, mode) => {
      if (path === paths[0]) throw Object.assign(systemError('EACCES', 'open'), { path });
      return nodeFileOps.open(path, flags, mode);
    };
    assert.throws(
      () => recover(ops, dataDir),
      /EACCES, .*metrics-00000001\.ndjson\. This process runs as user/,
    );
    fs.rmSync(dataDir, { recursive: true });
  });

  it('are an error that names the file also if the disk fails while it is read', async () => {
    const { dataDir } = await record([1]);
    const ops = new FaultFileOps();
    // Both copies of the log record are read before.
    ops.fault = (call, nth) => (call === 'read' && nth > 2 ? { error: 'EIO' } : undefined);
    assert.throws(() => recover(ops, dataDir), /EIO, .*metrics-00000001\.ndjson\. The disk failed there: /);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('prevent neither start nor retention if they are closed and the disk does not give their status', async () => {
    const { dataDir, paths } = await record([1], [1], [1]);
    const ops = new FaultFileOps();
    ops.stat = (path) => {
      if (path === paths[0]) throw Object.assign(systemError('EIO', 'stat'), { path });
      return nodeFileOps.stat(path);
    };
    assert.equal(recover(ops, dataDir).nextCommit, 4);
    const rig = new WriterRig({ dataDir, ops, config: { retentionBytes: 1 } });
    rig.store(line(99));
    rig.turn(1_100);
    assert.deepEqual(rig.segments(), ['metrics-00000001.ndjson', 'metrics-00000004.ndjson']);
    await rig.stop();
    rig.remove();
  });

  it('a number that no segment could follow is an error that names the file', () => {
    const dataDir = temporaryDirectory();
    const path = join(dataDir, 'metrics-999999999999999.ndjson');
    fs.writeFileSync(path, '');
    assert.throws(
      () => recover(nodeFileOps, dataDir),
      /metrics-999999999999999\.ndjson: .*move the file away/,
    );
    fs.rmSync(path);
    assert.equal(recover(nodeFileOps, dataDir).nextSegment, 1);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('a log record that is a directory is an error that names it', () => {
    const dataDir = temporaryDirectory();
    fs.mkdirSync(join(dataDir, 'log.json'));
    assert.throws(() => recover(nodeFileOps, dataDir), /EISDIR, .*log\.json\. This process runs as user/);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('a link to an archive that is not there, and a pipe, are skipped and block nobody', async () => {
    const dataDir = temporaryDirectory();
    const paths = ['metrics-00000002.ndjson', 'metrics-00000003.ndjson'].map((name) => join(dataDir, name));
    fs.symlinkSync('/archive/that/is/not/mounted', paths[0]!);
    assert.equal(spawnSync('mkfifo', [paths[1]!]).status, 0);
    assert.equal(recover(nodeFileOps, dataDir).nextSegment, 4);
    await storeOne(dataDir);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1);
    assert.match(text, /metrics-00000003\.ndjson: DAMAGED at byte 0: it cannot be read: ESPIPE/);
    assert.match((await tailed(dataDir)).text, /"value":99/);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('a link to itself is skipped, also by the writer', async () => {
    const dataDir = temporaryDirectory();
    const name = 'metrics-00000002.ndjson';
    fs.symlinkSync(name, join(dataDir, name));
    assert.equal(recover(nodeFileOps, dataDir).nextSegment, 3);
    await storeOne(dataDir);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1);
    assert.match(text, /metrics-00000002\.ndjson: DAMAGED at byte 0: it cannot be read: ELOOP/);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('a directory named like a segment is skipped, and verify reports it', async () => {
    const dataDir = temporaryDirectory();
    fs.mkdirSync(join(dataDir, 'metrics-00000002.ndjson'));
    assert.equal(recover(nodeFileOps, dataDir).nextSegment, 3);
    await storeOne(dataDir);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1);
    assert.match(text, /metrics-00000002\.ndjson: DAMAGED at byte 0: it cannot be read: EISDIR/);
    assert.match((await tailed(dataDir)).warnings, /EISDIR/);
    fs.rmSync(dataDir, { recursive: true });
  });
});
