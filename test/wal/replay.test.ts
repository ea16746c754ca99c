import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { DEPTH_MAX, planReplay, readLaneLog } from '../../src/wal/replay.ts';
import { writeHeader } from '../../src/wal/wal-file.ts';
import { GENERATION, LaneRig } from './rig.ts';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

/** A file with one record for each line. */
function fileWith(lines: readonly string[], generation = GENERATION): LaneRig {
  const rig = new LaneRig({ generation });
  for (const line of lines) {
    rig.commit(line);
    rig.lane.publish();
  }
  return rig;
}

const linesOf = (count: number): string[] => Array.from({ length: count }, (_, id) => `line ${id}\n`);

function overwrite(path: string, offset: number, bytes: Uint8Array): void {
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, bytes, 0, bytes.length, offset);
  fs.closeSync(fd);
}

function plan(rig: LaneRig, copied = 0) {
  const { records, damaged, dropped } = planReplay(readLaneLog(nodeFileOps, rig.path).records, copied);
  return { sequences: records.map(({ sequence }) => sequence), damaged, dropped };
}

describe('replay', () => {
  it('returns the records behind the last copied one, in order', () => {
    const rig = fileWith(linesOf(5));
    assert.deepEqual(plan(rig, 2), { sequences: [3, 4, 5], damaged: 0, dropped: 0 });
    rig.remove();
  });

  it('ignores whole records of an earlier generation where the next ones are expected', () => {
    const rig = fileWith(linesOf(6), GENERATION - 1);
    const { dataDir } = rig;
    rig.lane.close();
    // The next run starts at the first block again: blocks 3 to 6 keep records 3 to 6 of the run before.
    writeHeader(nodeFileOps, rig.path, { lane: 0, generation: GENERATION, checkpoint: 0, start: 0 }, false);
    const reused = new LaneRig({ dataDir, generation: GENERATION });
    reused.commit('new 0\n');
    reused.lane.publish();
    reused.commit('new 1\n');
    reused.lane.publish();
    assert.equal(reused.onDisk(), 'new 0\nnew 1\n');
    assert.deepEqual(plan(reused), { sequences: [1, 2], damaged: 0, dropped: 0 });
    reused.remove();
  });

  it('never replays a record of which any single bit differs', () => {
    const rig = fileWith(['one line\n']);
    const whole = fs.readFileSync(rig.path);
    const recordEnd = BLOCK_BYTES + 64 + 'one line\n'.length;
    for (let at = BLOCK_BYTES; at < recordEnd; at++) {
      for (let bit = 0; bit < 8; bit++) {
        overwrite(rig.path, at, Uint8Array.of(whole[at]! ^ (1 << bit)));
        assert.deepEqual(plan(rig).sequences, [], `byte ${at} bit ${bit}`);
      }
      overwrite(rig.path, at, whole.subarray(at, at + 1));
    }
    assert.deepEqual(plan(rig).sequences, [1]);
    rig.remove();
  });

  it('replays nothing of a record that was torn at any block', () => {
    const line = `${'w'.repeat(5 * BLOCK_BYTES)}\n`;
    const rig = fileWith([line]);
    const whole = fs.readFileSync(rig.path);
    for (let block = 1; block <= 6; block++) {
      overwrite(rig.path, block * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES));
      assert.deepEqual(plan(rig).sequences, [], `block ${block}`);
      overwrite(
        rig.path,
        block * BLOCK_BYTES,
        whole.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES),
      );
    }
    rig.remove();
  });

  it('ends at a gap that writes in flight explain', () => {
    const rig = fileWith(linesOf(6));
    overwrite(rig.path, 4 * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES));
    assert.deepEqual(plan(rig), { sequences: [1, 2, 3], damaged: 0, dropped: 2 });
    rig.remove();
  });

  it('goes on behind a gap that was once acknowledged, and counts it as damaged', () => {
    const count = 2 + DEPTH_MAX;
    const rig = fileWith(linesOf(count));
    overwrite(rig.path, 2 * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES));
    assert.deepEqual(plan(rig), { sequences: [1, 3, 4, 5, 6], damaged: 1, dropped: 0 });
    rig.remove();
  });

  it('reports a file without a header as one, whatever else it holds', () => {
    const rig = fileWith(linesOf(2));
    for (const header of [0, BLOCK_BYTES / 2]) overwrite(rig.path, header + 9, Uint8Array.of(7));
    assert.deepEqual(readLaneLog(nodeFileOps, rig.path), { header: null, records: [] });
    rig.remove();
  });

  it('reads a file that was cut short', () => {
    const rig = fileWith(linesOf(3));
    fs.truncateSync(rig.path, 3 * BLOCK_BYTES + 100);
    assert.deepEqual(plan(rig).sequences, [1, 2]);
    rig.remove();
  });
});
