/** Retention waits for required sinks, with either writer. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FaultFileOps } from '../../load-test/faults/fault-file-ops.ts';
import { STORED } from '../../src/journal/journal.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { readLogRecord } from '../../src/storage/log-record.ts';
import { reportCursor } from '../support/cursor-report.ts';
import { groupCommit, line, type RigOptions, synchronous, WriterRig } from '../support/writer-rig.ts';

for (const tested of [groupCommit, synchronous]) {
  const open = (options: RigOptions): WriterRig => new WriterRig({ tested, ...options });

  describe(`retention of ${tested.name}`, () => {
    it('keeps segments until every required sink has them; a sink of another log has nothing', async () => {
      const requiredSinks = 'db,bus';
      const rig = open({ config: { segmentBytes: 1_000, retentionBytes: 1_500, requiredSinks } });
      for (let id = 1; id <= 6; id++) assert.equal(rig.store(line(id, 850)), STORED);
      const kept = (): number[] => {
        rig.turn(1_100);
        return rig.segments().map((name) => Number(/\d+/.exec(name)![0]));
      };
      const log = readLogRecord(nodeFileOps, rig.dataDir).record!.id;
      const report = (sink: string, commit: number, logId = log) =>
        reportCursor(rig.dataDir, { sink, commit, log: logId });
      assert.deepEqual(kept(), [1, 2, 3, 4, 5, 6]);
      report('db', 6);
      assert.deepEqual(kept(), [1, 2, 3, 4, 5, 6]);
      report('bus', 6, '00000000-0000-0000-0000-000000000000');
      assert.deepEqual(kept(), [1, 2, 3, 4, 5, 6]);
      assert.equal(rig.count('held_segments_now'), 5);
      report('bus', 3);
      assert.deepEqual(kept(), [4, 5, 6]);
      assert.equal(rig.count('held_segments_now'), 2);
      report('bus', 5);
      assert.deepEqual(kept(), [6]);
      assert.equal(rig.count('held_segments_now'), 0);
      assert.equal(rig.count('segments_deleted'), 5);
      assert.equal(rig.count('segments_unshipped'), 0);
      const waits = rig.messages.flatMap((message) =>
        message.kind === 'log' && /required sink/.test(message.text) ? [message.fields.sink] : [],
      );
      assert.deepEqual(waits, ['db', 'bus'], 'each sink that retention waits for is named once');
      await rig.stop();
      rig.remove();
    });

    it('lets segments go that a sink lacks if the operator prefers it and the disk is nearly full', async () => {
      const config = { segmentBytes: 1_000, retentionBytes: 1_500, requiredSinks: 'db' };
      for (const whenSinksLag of ['keep', 'delete'] as const) {
        const ops = new FaultFileOps();
        const rig = open({ ops, config: { ...config, whenSinksLag } });
        for (let id = 1; id <= 6; id++) assert.equal(rig.store(line(id, 850)), STORED);
        rig.turn(1_100);
        assert.equal(rig.segments().length, 6, 'there is room');
        ops.freeBytes = () => 1_500;
        rig.turn(1_100);
        rig.turn(1_100);
        assert.equal(rig.segments().length, whenSinksLag === 'keep' ? 6 : 1);
        assert.equal(rig.count('segments_unshipped'), whenSinksLag === 'keep' ? 0 : 5);
        await rig.stop();
        rig.remove();
      }
    });
  });
}
