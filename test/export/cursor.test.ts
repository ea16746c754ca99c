/** What PostgreSQL keeps of the log beside the cursor, and which commits it calls durable at the end of a run. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { readCursorFile } from '../../src/storage/cursor-file.ts';
import { onEnd, suiteOwner } from '../support/clean-up.ts';
import { record, segmentPaths } from '../support/damage.ts';
import { type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';
import { type CliResult, runCli } from '../support/server-process.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

const OTHER = /holds the log up to commit 5, but .* has another commit of this number/;

describe('the cursor in PostgreSQL', { skip: requirePostgres() }, () => {
  const owner = suiteOwner();
  let postgres: Postgres;
  before(async () => {
    postgres = await startPostgres(owner);
  });

  const removed = (dataDir: string): string => {
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true, force: true }));
    return dataDir;
  };
  const ship = (url: string, dataDir: string, ...args: string[]): Promise<CliResult> =>
    runCli(['export', '--to', url, '--data-dir', dataDir, '--once', ...args]);
  const shipped = async (url: string, dataDir: string, ...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await ship(url, dataDir, ...args);
    assert.equal(code, 0, stdout + stderr);
  };
  const append = async (dataDir: string, ...ids: readonly number[]): Promise<void> => {
    const rig = new WriterRig({ dataDir });
    for (const id of ids) rig.store(line(id));
    await rig.stop();
  };

  it('refuses a log that went on from an older copy: by the seal, or without one by the segment', async () => {
    const rig = new WriterRig();
    const dataDir = removed(rig.dataDir);
    const copy = removed(`${dataDir}-copy`);
    for (const id of [0, 1]) rig.store(line(id));
    fs.cpSync(dataDir, copy, { recursive: true });
    for (const id of [2, 3, 4]) rig.store(line(id));
    await rig.stop();
    await append(copy, 20, 21, 22, 23);
    const url = await postgres.createTables();
    await shipped(url, dataDir);
    const [, crc] = /"commit":5,.*"crc32":"([0-9a-f]{8})"/.exec(
      fs.readFileSync(segmentPaths(dataDir)[0]!, 'utf8'),
    )!;
    const cursor = 'SELECT commit::int, segment::int, seal FROM ms_cursor';
    assert.deepEqual(await postgres.queryOn(url, cursor), [{ commit: 5, segment: 1, seal: `5:${crc}` }]);
    const refused = async (): Promise<void> => {
      const { code, stderr } = await ship(url, copy);
      assert.equal(code, 1, stderr);
      assert.match(stderr, OTHER);
    };
    await refused();
    // As tables of an older version have it.
    await postgres.queryOn(url, 'UPDATE ms_cursor SET seal = NULL');
    await refused();
    await shipped(url, dataDir);
    // Somebody has moved the cursor: neither seal nor segment are of its commit.
    await postgres.queryOn(url, `UPDATE ms_cursor SET seal = '4:00000000'`);
    await append(dataDir, 30);
    await shipped(url, dataDir);
    const [moved] = await postgres.queryOn<{ seal: string }>(url, 'SELECT seal FROM ms_cursor');
    assert.match(moved!.seal, /^6:[0-9a-f]{8}$/);
    // A range that ended in a damaged commit has no CRC, and somebody has moved the cursor since.
    await postgres.queryOn(url, `UPDATE ms_cursor SET seal = '5:', segment = 0`);
    await append(dataDir, 31);
    await shipped(url, dataDir);
    // The commit itself was damaged: only the segments can be compared.
    await postgres.queryOn(url, `UPDATE ms_cursor SET seal = commit || ':'`);
    await shipped(url, dataDir);
  });

  it('is durable at the end of a run, also with asynchronous commits', async () => {
    const { dataDir } = await record([1, 2], [1]);
    removed(dataDir);
    const url = await postgres.createTables();
    for (let run = 0; run < 2; run++) {
      await shipped(url, dataDir, '--synchronous-commit', 'off');
      assert.equal(readCursorFile(dataDir, 'postgres')?.commit, 3);
    }
  });

  it('needs two connections', async () => {
    const { code, stderr } = await ship(postgres.url, 'nowhere', '--pool', '1');
    assert.equal(code, 2, stderr);
    assert.match(stderr, /--pool.*allowed: 2 to 16/);
  });
});
