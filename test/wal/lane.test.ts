import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { before, describe, it } from 'node:test';
import { FULL, REFUSED, STORED, UNKNOWN } from '../../src/journal/journal.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import type { OpenBlockWriter } from '../../src/wal/block-writer.ts';
import { openBlockingWriter } from '../../src/wal/blocking-writer.ts';
import { openAioWriter, openUringWriter } from '../../src/wal/kernel-writer.ts';
import { openPoolWriter } from '../../src/wal/pool-writer.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { planReplay, readLaneLog } from '../../src/wal/replay.ts';
import { eventually } from '../support/assertions.ts';
import { addonIsMissing, EIO, heldRig, LaneRig } from './rig.ts';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

const BACKENDS: readonly (readonly [string, OpenBlockWriter, string | false])[] = [
  ['io_uring', openUringWriter, addonIsMissing()],
  ['aio', openAioWriter, addonIsMissing()],
  ['pool', openPoolWriter, false],
  ['blocking', openBlockingWriter, false],
];

/** Of all descriptors of this process. */
const openPaths = (): string[] =>
  fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // That of the directory itself.
      return [];
    }
  });

/** A line whose length varies from one byte to several blocks. */
const lineOf = (id: number): string => `${id}:${'x'.repeat((id * 1_237) % (3 * BLOCK_BYTES))}\n`;

for (const [name, open, skip] of BACKENDS) {
  it(`${name}: copies and disk hold every line in order, around both ends many times`, { skip }, async () => {
    const rig = new LaneRig({ open });
    let sent = '';
    let copied = '';
    for (let id = 0; id < 1_500; id++) {
      if (rig.commit(lineOf(id)) === FULL) {
        await eventually('room', () => {
          rig.lane.publish();
          copied += rig.copyAll();
          rig.consumer.checkpoint(rig.consumer.taken);
          return rig.lane.usedBytes === 0;
        });
        rig.commit(lineOf(id));
      }
      sent += lineOf(id);
      if (id % 3 === 0) rig.lane.publish();
      if (id % 11 === 0) {
        await new Promise(setImmediate);
        copied += rig.copyAll();
        rig.consumer.checkpoint(rig.consumer.taken);
      }
    }
    await eventually('every line is stored', () => {
      rig.lane.publish();
      copied += rig.copyAll();
      if (rig.lane.usedBytes > 0) rig.consumer.checkpoint(rig.consumer.taken);
      return rig.lane.usedBytes === 0;
    });
    copied += rig.copyAll();
    assert.equal(copied, sent);
    const last = rig.onDisk(rig.consumer.taken - 1);
    assert.ok(last.endsWith(lineOf(1_499)) && sent.endsWith(last));
    assert.deepEqual(rig.failures, []);
    rig.remove();
  });
}

/** A lane with one record, whose file was then replaced by a copy. */
function withReplacedFile(): LaneRig {
  const rig = new LaneRig();
  rig.commit('0\n');
  rig.lane.publish();
  fs.copyFileSync(rig.path, `${rig.path}.new`);
  fs.renameSync(`${rig.path}.new`, rig.path);
  rig.consumer.replaceFile();
  return rig;
}

describe('a lane', () => {
  it('acknowledges and hands over only the contiguous finished prefix', () => {
    const { rig, writer } = heldRig();
    const cursors = [0, 1, 2].map((id) => {
      const cursor = rig.commit(`${id}\n`);
      rig.lane.publish();
      return cursor;
    });
    assert.equal(writer.held.length, 3);
    writer.held[2]!.run();
    writer.held[1]!.run();
    assert.equal(rig.copyAll(), '');
    assert.ok(((rig.lane.storedCursor() - cursors[0]!) | 0) < 0);
    writer.held[0]!.run();
    assert.ok(((rig.lane.storedCursor() - cursors[2]!) | 0) >= 0);
    for (const cursor of cursors) assert.equal(rig.lane.outcome(cursor), STORED);
    assert.equal(rig.copyAll(), '0\n1\n2\n');
    rig.remove();
  });

  it('gathers what is committed beyond the depth into one record', () => {
    const { rig, writer } = heldRig();
    for (let id = 0; id < 9; id++) {
      rig.commit(`${id}\n`);
      rig.lane.publish();
    }
    assert.equal(writer.held.length, 4);
    writer.held.shift()!.run();
    // Five lines waited: they are one record, submitted as soon as a place is free.
    assert.equal(writer.held.length, 4);
    for (const write of writer.held.splice(0)) write.run();
    assert.equal(rig.copyAll(), '0\n1\n2\n3\n4\n5\n6\n7\n8\n');
    assert.equal(rig.consumer.taken, 5);
    rig.remove();
  });

  it('writes nothing further than the depth behind a record that is not acknowledged', () => {
    const { rig, writer } = heldRig();
    let sent = '';
    for (let id = 0; id < 8; id++) {
      sent += `${id}\n`;
      rig.commit(`${id}\n`);
      rig.lane.publish();
      // All but the first finish.
      for (const write of writer.held.splice(1)) write.run();
    }
    // A power loss here loses the first record, and nothing was answered.
    const { damaged, dropped } = planReplay(readLaneLog(nodeFileOps, rig.path).records, 0);
    assert.deepEqual({ damaged, dropped }, { damaged: 0, dropped: 3 });
    for (const write of writer.held.splice(0)) write.run();
    assert.equal(rig.copyAll(), '0\n1\n2\n3\n');
    for (const write of writer.held.splice(0)) write.run();
    assert.equal(rig.copyAll(), '4\n5\n6\n7\n');
    assert.equal(rig.onDisk(), sent);
    rig.remove();
  });

  it('keeps what is committed after a hand-over open until the next one, also when a write ends', () => {
    const { rig, writer } = heldRig();
    rig.commit('0\n');
    rig.lane.publish();
    rig.commit('1\n');
    writer.held.shift()!.run();
    assert.equal(writer.held.length, 0);
    rig.commit('2\n');
    rig.lane.publish();
    writer.held.shift()!.run();
    assert.equal(rig.copyAll(), '0\n1\n2\n');
    assert.equal(rig.consumer.taken, 2);
    rig.remove();
  });

  it('completes short writes', () => {
    const { rig, writer } = heldRig();
    const line = `${'y'.repeat(3 * BLOCK_BYTES)}\n`;
    const cursor = rig.commit(line);
    rig.lane.publish();
    writer.held.shift()!.run(BLOCK_BYTES);
    assert.ok(((rig.lane.storedCursor() - cursor) | 0) < 0);
    writer.held.shift()!.run();
    assert.equal(rig.copyAll(), line);
    assert.equal(rig.onDisk(), line);
    rig.remove();
  });

  it('leaves writes in flight unknown and waiting ones refused when one fails, and accepts nothing more', () => {
    const { rig, writer } = heldRig();
    const cursors = Array.from({ length: 6 }, (_, id) => {
      const cursor = rig.commit(`${id}\n`);
      rig.lane.publish();
      return cursor;
    });
    writer.held[0]!.run();
    // The fifth and sixth line became one record when the first write completed.
    writer.held[1]!.fail(EIO);
    assert.deepEqual(rig.failures, [EIO]);
    assert.equal(rig.consumer.failure, EIO);
    const settled = rig.lane.storedCursor();
    for (const cursor of cursors) assert.ok(((settled - cursor) | 0) >= 0);
    assert.deepEqual(
      cursors.map((cursor) => rig.lane.outcome(cursor)),
      [STORED, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN],
    );
    assert.equal(rig.commit('7\n'), FULL);
    // Completions that still come change nothing.
    writer.held[2]!.run();
    assert.equal(rig.copyAll(), '0\n');
    rig.remove();
  });

  it('refuses what was never submitted when a write fails', () => {
    const { rig, writer } = heldRig();
    const cursors = Array.from({ length: 5 }, (_, id) => {
      const cursor = rig.commit(`${id}\n`);
      rig.lane.publish();
      return cursor;
    });
    writer.held[0]!.fail(EIO);
    assert.deepEqual(
      cursors.map((cursor) => rig.lane.outcome(cursor)),
      [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, REFUSED],
    );
    rig.remove();
  });

  for (const start of [0, 2 * BLOCK_BYTES]) {
    it(`never overwrites a record before its checkpoint, and goes on after it, from ${start}`, () => {
      const rig = new LaneRig({ fileBlocks: 5, start });
      let sent = '';
      for (let id = 0; id < 4; id++) {
        sent += `${id}\n`;
        rig.commit(`${id}\n`);
        rig.lane.publish();
      }
      // Four blocks hold four records: the fifth has no place.
      const cursor = rig.commit('4\n');
      rig.lane.publish();
      assert.ok(((rig.lane.storedCursor() - cursor) | 0) < 0);
      assert.equal(rig.consumer.checkpointIsWanted(), true);
      assert.equal(rig.copyAll(), sent);
      rig.lane.publish();
      // Copied, but not synced: still no place.
      assert.ok(((rig.lane.storedCursor() - cursor) | 0) < 0);
      assert.equal(rig.onDisk(), sent);
      rig.consumer.checkpoint(1);
      rig.lane.publish();
      assert.ok(((rig.lane.storedCursor() - cursor) | 0) >= 0);
      assert.equal(rig.onDisk(1), '1\n2\n3\n4\n');
      rig.remove();
    });
  }

  it('refuses a claim while the copier still reads the memory', async () => {
    const rig = new LaneRig({ memoryBytes: 4 * BLOCK_BYTES });
    const line = `${'z'.repeat(BLOCK_BYTES)}\n`;
    let accepted = 0;
    while (rig.commit(line) !== FULL) {
      accepted++;
      rig.lane.publish();
    }
    assert.ok(accepted > 0);
    let copied = '';
    await eventually('all are copied', () => {
      copied += rig.copyAll();
      return copied.length >= accepted * line.length;
    });
    assert.equal(copied, line.repeat(accepted));
    assert.notEqual(rig.commit(line), FULL);
    rig.remove();
  });

  it('answers nothing more while half its memory waits for the copier, and goes on when it has copied', async () => {
    const rig = new LaneRig({ memoryBytes: 16 * BLOCK_BYTES });
    const line = `${'z'.repeat(2 * BLOCK_BYTES)}\n`;
    let last = 0;
    for (let k = 0; k < 4; k++) {
      last = rig.commit(line);
      rig.lane.publish();
    }
    // Three records of three blocks wait: more than half of the memory.
    assert.ok(((rig.lane.storedCursor() - last) | 0) < 0);
    assert.equal(rig.copyAll(), line.repeat(3));
    await eventually('the fourth is stored', () => rig.lane.usedBytes === 0);
    assert.equal(rig.copyAll(), line);
    rig.remove();
  });

  it('opens its file anew after it was replaced', () => {
    const rig = withReplacedFile();
    rig.commit('1\n');
    rig.lane.publish();
    assert.equal(rig.onDisk(), '0\n1\n');
    rig.remove();
  });

  it('closes a file that was replaced although it has nothing to write', () => {
    const rig = withReplacedFile();
    rig.lane.publish();
    assert.deepEqual(
      openPaths().filter((path) => path.startsWith(rig.path)),
      [rig.path],
    );
    rig.remove();
  });

  it('stores nothing while the file that replaces its own cannot be opened, and goes on after that', () => {
    const rig = new LaneRig();
    const away = `${rig.path}.away`;
    rig.commit('0\n');
    rig.lane.publish();
    fs.renameSync(rig.path, away);
    rig.consumer.replaceFile();
    const cursor = rig.commit('1\n');
    rig.lane.publish();
    assert.ok(((rig.lane.storedCursor() - cursor) | 0) < 0);
    fs.renameSync(away, rig.path);
    rig.lane.publish();
    assert.equal(rig.lane.outcome(cursor), STORED);
    assert.deepEqual(rig.failures, []);
    assert.equal(rig.onDisk(), '0\n1\n');
    rig.remove();
  });

  it('fails when the file that replaces its own can never be opened', () => {
    const rig = new LaneRig();
    fs.renameSync(rig.path, `${rig.path}.away`);
    fs.mkdirSync(rig.path);
    rig.consumer.replaceFile();
    const cursor = rig.commit('1\n');
    rig.lane.publish();
    assert.deepEqual(rig.failures, [os.constants.errno.EISDIR]);
    assert.equal(rig.lane.outcome(cursor), REFUSED);
    rig.remove();
  });
});
