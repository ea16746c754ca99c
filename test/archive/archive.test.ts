/** One pass over a log: what it writes, keeps and deletes, and how it handles damage, restored segments and clock jumps. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openArchive } from '../../src/archive/archive-snapshot.ts';
import { expiredFiles } from '../../src/archive/expiry.ts';
import { lagOf } from '../../src/archive/lag.ts';
import { readManifest } from '../../src/archive/manifest.ts';
import { reportProgress } from '../../src/archive/sinks.ts';
import type { MetricsStreamError } from '../../src/base/errors.ts';
import { readArchivedSegments } from '../../src/storage/archived-segments.ts';
import { readCursorFile, writeCursorFile } from '../../src/storage/cursor-file.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { readLogRecord } from '../../src/storage/log-record.ts';
import { ArchiveRig, lineOf } from '../support/archive-rig.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { commitRanges, verified } from '../support/damage.ts';
import { WriterRig } from '../support/writer-rig.ts';

const DAY_MS = 86_400_000;
const NOON = Date.parse('2026-11-28T12:00:00Z');

const at = (timestamp: number, name = 'm', value = 1): string =>
  lineOf({ timestamp, name, value, tags: { host: 'a' } });

const owner = suiteOwner();

describe('a pass', () => {
  it('archives each day by itself, the out-of-order timestamp of last year too', async () => {
    const rig = new ArchiveRig(owner);
    const lastYear = NOON - 365 * DAY_MS;
    await rig.store([at(NOON, 'a') + at(lastYear, 'late'), at(NOON + DAY_MS, 'b') + at(NOON, 'c')]);
    const { manifest } = await rig.pass({ deleteSegments: true });
    assert.deepEqual(
      manifest.files.map(({ path, lines }) => `${path} ${lines}`),
      ['date=2025-11-28/1-2.parquet 1', 'date=2026-11-28/1-2.parquet 2', 'date=2026-11-29/1-2.parquet 1'],
    );
    assert.deepEqual(manifest.commits, [[1, 2]]);
    const names = (await rig.metrics()).map(({ name, commit }) => `${name} ${commit}`);
    assert.deepEqual(names.sort(), ['a 1', 'b 2', 'c 2', 'late 1']);
    assert.deepEqual((await verified(rig.dataDir)).code, 0);
  });

  it('has nothing to do the second time, and continues with new segments', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a')]);
    await rig.pass();
    const { generation } = rig.manifest();
    const second = await rig.pass();
    assert.equal(second.totals.lines, 0);
    assert.equal(second.manifest.generation, generation);
    await rig.store([at(NOON, 'b')]);
    const third = await rig.pass({ deleteSegments: true });
    // The one that was open before is closed now.
    assert.equal(third.totals.lines, 2);
    assert.deepEqual(third.manifest.commits, [[1, 3]]);
    assert.equal(rig.segments().length, 1);
  });

  it('neither restarts numbers nor changes the log id after everything was archived and deleted', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON), at(NOON)]);
    const before = readLogRecord(nodeFileOps, rig.dataDir).record!;
    await rig.pass({ deleteSegments: true });
    for (const name of rig.segments()) fs.unlinkSync(join(rig.dataDir, name));
    await rig.store([at(NOON)]);
    const after = readLogRecord(nodeFileOps, rig.dataDir).record!;
    assert.equal(after.id, before.id);
    assert.deepEqual([after.commit, after.segment], [5, 5]);
  });

  it('keeps a segment with a damaged commit, archives its other commits, and warns', async () => {
    const rig = new ArchiveRig(owner);
    const writer = new WriterRig({ dataDir: rig.dataDir });
    for (const name of ['a', 'b', 'c']) writer.store(at(NOON, name));
    await writer.stop();
    await rig.store([]);
    const path = join(rig.dataDir, rig.segments()[0]!);
    const bytes = fs.readFileSync(path);
    bytes[commitRanges(bytes)[1]!.from + 20]! ^= 1;
    fs.writeFileSync(path, bytes);
    const { manifest, warnings, totals } = await rig.pass({ deleteSegments: true });
    assert.equal(totals.segmentsDeleted, 0);
    assert.deepEqual(manifest.commits, [
      [1, 1],
      [3, 3],
    ]);
    assert.match(
      warnings.join(),
      /metrics-00000001\.ndjson: \d+ bytes are damaged and not archived; the segment is kept/,
    );
    assert.deepEqual((await rig.metrics()).map(({ name }) => name).sort(), ['a', 'c']);
    const { code, text } = await verified(rig.dataDir);
    assert.equal(code, 1);
    assert.match(text, /commit 2 is missing/);
  });

  it('archives a restored segment once', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a'), at(NOON, 'b'), at(NOON, 'c')]);
    const away = join(rig.dataDir, 'away');
    const path = join(rig.dataDir, rig.segments()[1]!);
    fs.renameSync(path, away);
    assert.deepEqual((await rig.pass()).manifest.commits, [
      [1, 1],
      [3, 3],
    ]);
    fs.renameSync(away, path);
    // A copy under another number holds the same commits.
    fs.copyFileSync(join(rig.dataDir, rig.segments()[0]!), join(rig.dataDir, 'metrics-00000000.ndjson'));
    assert.deepEqual((await rig.pass()).manifest.commits, [[1, 3]]);
    assert.deepEqual((await rig.metrics()).map(({ name }) => name).sort(), ['a', 'b', 'c']);
  });

  it('lists segments in order, also one that came back and adds nothing', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a'), at(NOON, 'b')]);
    await rig.pass();
    fs.copyFileSync(join(rig.dataDir, rig.segments()[0]!), join(rig.dataDir, 'metrics-00000000.ndjson'));
    const { manifest } = await rig.pass();
    assert.deepEqual(
      manifest.segments.map(({ sequence }) => sequence),
      [0, 1, 2],
    );
  });

  it('reports no progress past a segment that it cannot read, although later ones are deleted', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a'), at(NOON, 'b')]);
    const path = join(rig.dataDir, rig.segments()[0]!);
    const away = join(rig.dataDir, 'away');
    const progress = async (): Promise<number | undefined> => {
      const { manifest } = await rig.pass({ deleteSegments: true });
      reportProgress(rig.dataDir, manifest, lagOf(rig.dataDir, manifest));
      return readCursorFile(rig.dataDir, 'archive')?.commit;
    };
    fs.renameSync(path, away);
    // Can be opened, cannot be read.
    fs.mkdirSync(path);
    assert.equal(await progress(), 0);
    assert.deepEqual(readArchivedSegments(nodeFileOps, rig.dataDir).deleted, [[2, 2]]);
    fs.rmdirSync(path);
    fs.renameSync(away, path);
    assert.equal(await progress(), 2);
  });

  it('deletes no segment before every sink has its commits', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON), at(NOON), at(NOON)]);
    const log = readLogRecord(nodeFileOps, rig.dataDir).record!.id;
    const cursor = (commit: number, of = log) =>
      writeCursorFile(rig.dataDir, {
        ...{
          sink: 'postgres',
          place: '',
          log: of,
          commit,
          segment: 1,
          updatedMs: 0,
          state: 'waiting',
          error: '',
        },
        ...{ lagCommits: 0, lagBytes: 0, lagSeconds: 0, metricsTotal: 0, quarantined: 0 },
      });
    assert.equal(
      (await rig.pass({ deleteSegments: true, requiredSinks: ['nats'] })).totals.segmentsDeleted,
      0,
    );
    cursor(9, 'another');
    assert.equal((await rig.pass({ deleteSegments: true })).totals.segmentsDeleted, 0);
    cursor(2);
    assert.equal((await rig.pass({ deleteSegments: true })).totals.segmentsDeleted, 2);
    cursor(3);
    assert.equal((await rig.pass({ deleteSegments: true })).totals.segmentsDeleted, 1);
    assert.deepEqual(readArchivedSegments(nodeFileOps, rig.dataDir).deleted, [[1, 3]]);
    assert.equal((await rig.metrics()).length, 3);
  });

  it('refuses the archive of another log', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON)]);
    await assert.rejects(
      rig.pass({ log: 'x' }).then(() => rig.pass()),
      (error: MetricsStreamError) =>
        error.code === 'ARCHIVE_FAILED' && /Move the archive away/.test(error.message),
    );
  });
});

describe('verify', () => {
  it('finds a flipped bit anywhere in a file and in the manifest, and a file that is gone', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a'), at(NOON, 'b')]);
    await rig.pass({ deleteSegments: true });
    const { path } = rig.manifest().files[0]!;
    for (const name of [path, 'manifest.json']) {
      const bytes = fs.readFileSync(rig.archived(name));
      for (let step = 0; step < 16; step++) {
        const changed = Buffer.from(bytes);
        const offset = Math.floor((step * (bytes.length - 1)) / 15);
        changed[offset]! ^= 1 << (step % 8);
        fs.writeFileSync(rig.archived(name), changed);
        const { code, text } = await verified(rig.dataDir);
        assert.equal(code, 1, `bit ${step % 8} of byte ${offset}`);
        assert.match(text, new RegExp(`archive/${name}: DAMAGED`));
      }
      fs.writeFileSync(rig.archived(name), bytes);
    }
    assert.equal((await verified(rig.dataDir)).code, 0);
    fs.unlinkSync(rig.archived(path));
    assert.match((await verified(rig.dataDir)).text, /it is missing, with 2 metrics/);
    assert.throws(
      () => openArchive(rig.dataDir),
      (error: MetricsStreamError) => error.code === 'ARCHIVE_DAMAGED' && error.message.includes(path),
    );
  });

  it('reports commits that neither a segment nor the archive holds', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON), at(NOON), at(NOON)]);
    fs.unlinkSync(join(rig.dataDir, rig.segments()[1]!));
    await rig.pass({ deleteSegments: true });
    const { code, text } = await verified(rig.dataDir);
    assert.equal(code, 1);
    assert.match(text, /MISSING: commit 2 is missing/);
  });
});

describe('after a kill or a loss', () => {
  it('the manifest is made again from the files', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a') + at(NOON - DAY_MS, 'b'), at(NOON, 'c')]);
    await rig.pass({ deleteSegments: true });
    const before = await rig.metrics();
    fs.unlinkSync(rig.archived('manifest.json'));
    assert.throws(
      () => openArchive(rig.dataDir),
      /manifest\.json is missing\. Run metricsstream archive --once/,
    );
    const { warnings } = await rig.pass();
    assert.match(warnings.join(), /made again from the files/);
    assert.deepEqual(await rig.metrics(), before);
    assert.equal((await verified(rig.dataDir)).code, 0);
  });

  it('a manifest that cannot be read is not made again', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a')]);
    await rig.pass();
    fs.unlinkSync(rig.archived('manifest.json'));
    fs.mkdirSync(rig.archived('manifest.json'));
    await assert.rejects(rig.pass(), /cannot read .*manifest\.json/);
  });

  it('a batch of which one day is missing is archived again from its segments', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a') + at(NOON - DAY_MS, 'b')]);
    await rig.pass();
    const before = await rig.metrics();
    fs.unlinkSync(rig.archived('manifest.json'));
    fs.unlinkSync(rig.archived(rig.found()[0]!));
    const { totals } = await rig.pass();
    assert.equal(totals.lines, 2);
    assert.deepEqual(await rig.metrics(), before);
  });

  it('unfinished files and those whose commits count elsewhere are removed', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'a'), at(NOON, 'b')]);
    await rig.pass();
    const [listed = ''] = rig.found();
    fs.copyFileSync(rig.archived(listed), rig.archived(listed.replace('/1-2', '/1-1')));
    fs.writeFileSync(rig.archived(listed.replace('/1-2.parquet', '/.7-9.parquet.new')), 'half');
    await rig.pass();
    assert.deepEqual(rig.found(), [listed]);
  });
});

describe('merges', () => {
  it('replace small files of a day, while readers keep the old ones', async () => {
    const rig = new ArchiveRig(owner);
    for (let k = 0; k < 7; k++) {
      await rig.store([at(NOON + k, `m${k}`)]);
      await rig.pass({ deleteSegments: true });
    }
    const snapshot = openArchive(rig.dataDir);
    const before = await rig.metrics();
    await rig.store([at(NOON + 7, 'm7')]);
    const { totals, manifest } = await rig.pass({ deleteSegments: true });
    assert.equal(totals.merges, 1);
    assert.deepEqual(rig.found(), manifest.files.map(({ path }) => path).sort());
    assert.equal(manifest.files.filter(({ path }) => path.includes('2026-11-28')).length, 1);
    assert.equal(snapshot.isCurrent(), false);
    for (const { openPath, bytes } of snapshot.files) assert.equal(fs.readFileSync(openPath).length, bytes);
    snapshot.close();
    assert.equal((await rig.metrics()).length, before.length + 1);
    assert.equal((await verified(rig.dataDir)).code, 0);
    // Sources that a kill left beside the merged file, and no manifest to tell them apart.
    fs.unlinkSync(rig.archived('manifest.json'));
    await rig.pass();
    assert.equal((await rig.metrics()).length, before.length + 1);
  });
});

describe('a damaged file', () => {
  it('is not merged, so that verify still finds it', async () => {
    const rig = new ArchiveRig(owner);
    for (let k = 0; k < 7; k++) {
      await rig.store([at(NOON + k, `m${k}`)]);
      await rig.pass({ deleteSegments: true });
    }
    const { path } = rig.manifest().files.find((file) => file.path.includes('2026-11-28'))!;
    const bytes = fs.readFileSync(rig.archived(path));
    // In the first data page.
    bytes[20]! ^= 1;
    fs.writeFileSync(rig.archived(path), bytes);
    await rig.store([at(NOON + 7, 'm7'), at(NOON + 8, 'm8')]);
    const { totals, manifest, warnings } = await rig.pass({ deleteSegments: true });
    assert.equal(totals.segmentsDeleted, 3);
    assert.ok(manifest.files.some((file) => file.path === path));
    assert.match(warnings.join(), /its CRC-32 is .* not merged/);
    const { code, text } = await verified(rig.dataDir);
    assert.equal(code, 1);
    assert.ok(text.includes(`archive/${path}: DAMAGED`), text);
  });
});

describe('retention', () => {
  const file = (date: string, bytes: number, maxTimeMs: number) => ({
    ...{
      path: `date=${date}/1-2.parquet`,
      first: 1,
      last: 2,
      lines: 1,
      bytes,
      crc32: '',
      minTimeMs: 0,
      maxTimeMs,
    },
  });
  const files = [
    file('2026-11-27', 10, NOON - DAY_MS),
    file('2026-11-28', 10, NOON),
    file('2025-01-01', 10, NOON - 300 * DAY_MS),
  ];
  const expired = (retentionAgeMs: number, retentionBytes: number, wallMs: number): string[] =>
    expiredFiles(files, { retentionAgeMs, retentionBytes }, wallMs).map(({ path }) => path.slice(5, 15));

  it('goes by age and by size, oldest metrics first', () => {
    assert.deepEqual(expired(0, 0, NOON), []);
    assert.deepEqual(expired(30 * DAY_MS, 0, NOON), ['2025-01-01']);
    assert.deepEqual(expired(0, 15, NOON), ['2025-01-01', '2026-11-27']);
  });

  it('deletes nothing because a clock jumps', () => {
    assert.deepEqual(expired(30 * DAY_MS, 0, NOON + 5_000 * DAY_MS), ['2025-01-01']);
    assert.deepEqual(expired(30 * DAY_MS, 0, NOON - 5_000 * DAY_MS), []);
  });

  it('removes files and still counts their commits', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store([at(NOON, 'new') + at(NOON - 40 * DAY_MS, 'old')]);
    const { totals } = await rig.pass({ deleteSegments: true, retentionAgeMs: 30 * DAY_MS });
    assert.deepEqual([totals.expiredFiles, totals.expiredLines], [1, 1]);
    assert.deepEqual(
      (await rig.metrics()).map(({ name }) => name),
      ['new'],
    );
    const { code, text } = await verified(rig.dataDir);
    assert.equal(code, 0, text);
    assert.match(text, /1 lines expired/);
    await rig.pass();
    assert.deepEqual(
      (await rig.metrics()).map(({ name }) => name),
      ['new'],
    );
  });
});

describe('a directory without an archive', () => {
  it('reads as an empty one', () => {
    const rig = new ArchiveRig(owner);
    assert.equal(readManifest(rig.dataDir), null);
    assert.deepEqual(openArchive(rig.dataDir).files, []);
  });
});
