/** Damage that a power loss left: the exporter waits while the next start of the server may repair it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { readCursorFile } from '../../src/storage/cursor-file.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { writeLogRecord } from '../../src/storage/log-record.ts';
import { openLog } from '../../src/wal/open-log.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { eventually } from '../support/assertions.ts';
import { damageCommit } from '../support/damage.ts';
import { Bench } from '../support/exporter-bench.ts';
import { line } from '../support/writer-rig.ts';
import { killed } from '../wal/killed-log.ts';
import { GENERATION } from '../wal/rig.ts';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

const linesOf = (...ids: number[]): string => ids.map((id) => line(id)).join('');

const stateOf = (dataDir: string): string => readCursorFile(dataDir, 'files')?.state ?? '';

/** Six commits in one segment, the fourth damaged; the write-ahead file holds all of them. */
function damaged(checkpoint: number): string {
  const { dataDir, segment } = killed({ records: 6, copied: 6, checkpoint });
  damageCommit({ dataDir, commits: [], paths: [segment] }, 0, 3);
  writeLogRecord(nodeFileOps, dataDir, {
    id: randomUUID(),
    createdAt: new Date().toISOString(),
    segment: 1,
    startSegment: 0,
    commit: checkpoint,
    reserved: 1_000,
    deletedCommit: 0,
    clean: false,
  });
  return dataDir;
}

describe('damage with good commits behind it', () => {
  it('that the next start restores stops the exporter until then: each metric is shipped once', async (test) => {
    const dataDir = damaged(2);
    const run = new Bench(test, dataDir).start({ once: false });
    await eventually('it has tried', () => ['retrying', 'waiting'].includes(stateOf(dataDir)));
    assert.deepEqual(run.sink.quarantine, []);
    const { recovery } = openLog(nodeFileOps, dataDir, {
      count: 1,
      generation: GENERATION + 1,
      fileBytes: 64 * BLOCK_BYTES,
    });
    assert.equal(recovery.nextCommit, 5, 'the last three are one commit');
    await eventually('shipped', () => run.sink.text() === linesOf(1, 2, 3, 4, 5, 6));
    await run.stop();
    assert.deepEqual(run.sink.quarantine, []);
    assert.equal(run.sink.ranges().at(-1)?.last, 4);
  });

  it('that a sync had covered is final: the exporter skips it at once', async (test) => {
    const run = new Bench(test, damaged(5)).start();
    await run.ended;
    assert.equal(run.sink.text(), linesOf(1, 2, 3, 5, 6));
    assert.deepEqual(run.sink.quarantine, ['4-4: its CRC does not match']);
  });
});
