/** `verify` reads the write-ahead files: what waits there is not lost, and damage there is reported. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { readLaneLog } from '../../src/wal/replay.ts';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { verified } from '../support/damage.ts';
import { post } from '../support/raw-http.ts';
import { startServer, verify } from '../support/server-process.ts';
import { killed } from './killed-log.ts';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

/** Flips a bit in the lines of a record. */
function flipRecord(path: string, sequence: number): void {
  const { records } = readLaneLog(nodeFileOps, path);
  const { offset } = records.find((record) => record.sequence === sequence)!;
  const file = fs.readFileSync(path);
  file[offset + 70]! ^= 1;
  fs.writeFileSync(path, file);
}

describe('verify with a write-ahead file', () => {
  it('names the records that wait to be copied, and finds no damage', async () => {
    const { dataDir } = killed({ records: 6, copied: 4 });
    const { code, text } = await verified(dataDir);
    assert.equal(code, 0, text);
    assert.match(text, /^\.wal-0\.bin: 2 lines in 2 records wait to be copied to a segment; the next start/m);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('says nothing when the segments hold every record', async () => {
    const { dataDir } = killed({ records: 4, copied: 4 });
    const { code, text } = await verified(dataDir);
    assert.equal(code, 0, text);
    assert.doesNotMatch(text, /wal/);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('reports an acknowledged record that is damaged and in no segment', async () => {
    const { dataDir, rig } = killed({ records: 12, copied: 4 });
    flipRecord(rig.path, 6);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1, text);
    assert.match(text, /^\.wal-0\.bin: DAMAGED at byte 0: 1 acknowledged records are damaged/m);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('does not mind damage in a record that a segment holds', async () => {
    const { dataDir, rig } = killed({ records: 6, copied: 4 });
    flipRecord(rig.path, 2);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 0, text);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('reports a damaged header', async () => {
    const { dataDir, rig } = killed({ records: 6, copied: 6 });
    const file = fs.readFileSync(rig.path);
    file[20]! ^= 1;
    file[2048 + 20]! ^= 1;
    fs.writeFileSync(rig.path, file);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1, text);
    assert.match(text, /\.wal-0\.bin: DAMAGED at byte 0: its header is damaged/);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('finds no damage beside a running server, and nothing that waits after its stop', async (t) => {
    const server = await startServer(t, { args: ['--workers', '2', '--wal', 'auto', '--wal-bytes', '64m'] });
    for (let request = 0; request < 4; request++) {
      assertAccepted(await post(server.port, namesBody(uniqueName('live'))), 1);
      assert.equal((await verify(server.dataDir)).code, 0);
    }
    await server.stop();
    await eventually('nothing waits', async () => !/wait/.test((await verify(server.dataDir)).stdout));
  });
});
