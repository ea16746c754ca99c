/** Lines that only the write-ahead log holds count too, and lines that both hold count once. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { openLog } from '../../src/wal/open-log.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { asker } from '../support/query-rows.ts';
import { killed } from '../wal/killed-log.ts';
import { GENERATION } from '../wal/rig.ts';

const RECORDS = 6;
const ROWS = 'SELECT value, commit FROM metrics ORDER BY value';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

/** Values from `first` on; those up to `copied` are in commits of their number. */
function expectedRows(copied: number, first = 1, last = RECORDS): (readonly [number, bigint | null])[] {
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const value = first + index;
    return [value, value <= copied ? BigInt(value) : null];
  });
}

/** Overwrites one byte of the line of record `id`. */
function damage(path: string, id: number): void {
  const bytes = fs.readFileSync(path);
  const at = bytes.indexOf(`"name":"m.${id}"`);
  bytes[at + 3] = bytes[at + 3]! ^ 1;
  fs.writeFileSync(path, bytes);
}

describe('lines of the write-ahead log', () => {
  it('follow those of the segments, wherever the copy stopped', async (t) => {
    for (let copied = 0; copied <= RECORDS; copied++) {
      const { dataDir } = killed({ records: RECORDS, copied });
      t.after(() => fs.rmSync(dataDir, { recursive: true }));
      const { rows, leftOut } = await asker(t, dataDir)(ROWS);
      assert.deepEqual(rows, expectedRows(copied), `${copied} copied`);
      assert.equal(leftOut.damagedRecords, 0);
    }
  });

  it('do not count again when the segments that held them are gone', async (t) => {
    const { dataDir, segment } = killed({ records: RECORDS, copied: 4, checkpoint: 4 });
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    fs.rmSync(segment);
    assert.deepEqual((await asker(t, dataDir)(ROWS)).rows, expectedRows(0, 5));
  });

  it('end before a torn record, which was never answered', async (t) => {
    const { dataDir, rig } = killed({ records: RECORDS, copied: 2 });
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    damage(rig.path, RECORDS);
    const { rows, leftOut } = await asker(t, dataDir)(ROWS);
    assert.deepEqual(rows, expectedRows(2, 1, RECORDS - 1));
    assert.equal(leftOut.damagedRecords, 0);
  });

  it('leave out a damaged record that was answered, and count it', async (t) => {
    const { dataDir, rig } = killed({ records: RECORDS, copied: 0 });
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    damage(rig.path, 1);
    const { rows, leftOut } = await asker(t, dataDir)(ROWS);
    assert.deepEqual(rows, expectedRows(0, 2));
    assert.equal(leftOut.damagedRecords, 1);
  });

  it('count once after the next start has replayed them', async (t) => {
    const { dataDir } = killed({ records: RECORDS, copied: 3 });
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    openLog(nodeFileOps, dataDir, { count: 1, generation: GENERATION + 1, fileBytes: 64 * BLOCK_BYTES });
    const { rows } = await asker(t, dataDir)(ROWS);
    assert.deepEqual(
      rows.map(([value]) => value),
      [1, 2, 3, 4, 5, 6],
    );
    assert.ok(rows.every(([, commit]) => commit !== null));
  });
});
