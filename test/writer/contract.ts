/** The contract of every writer: what it stores, when it settles lines, and which files it creates. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import zlib from 'node:zlib';
import { FaultFileOps } from '../../load-test/faults/fault-file-ops.ts';
import { STORED } from '../../src/journal/journal.ts';
import { verified } from '../support/damage.ts';
import { line, type RigOptions, type TestedWriter, WriterRig } from '../support/writer-rig.ts';

const SEAL = /^(.*),"seal":\{"commit":(\d+),"bytes":(\d+),"lines":(\d+),"crc32":"([0-9a-f]{8})"\}\}\n$/s;

const isWrite = (call: string): boolean => call === 'write' || call === 'writev';

async function assertVerifies(rig: WriterRig): Promise<void> {
  const { code, text } = await verified(rig.dataDir);
  assert.equal(code, 0, text);
}

const contentOf = (rig: WriterRig, segment: string): string =>
  fs.readFileSync(join(rig.dataDir, segment), 'latin1');

export function writerContract(tested: TestedWriter): void {
  const open = (options: RigOptions = {}) => new WriterRig({ tested, ...options });

  describe(`${tested.name}: storing`, () => {
    it('settles lines of several journals as stored, each in its order', async () => {
      const rig = open({ lanes: 2 });
      const puts = [0, 1, 2, 3, 4, 5].map((id) => ({ lane: id % 2, cursor: rig.put(line(id), id % 2) }));
      rig.turn();
      for (const { lane, cursor } of puts) assert.equal(rig.outcome(cursor, lane), STORED);
      await rig.stop();
      const ids = [...rig.storedText().matchAll(/"value":(\d+)/g)].map((match) => Number(match[1]));
      const inLane = (lane: number) => ids.filter((id) => id % 2 === lane);
      assert.deepEqual(
        [inLane(0), inLane(1)],
        [
          [0, 2, 4],
          [1, 3, 5],
        ],
      );
      assert.equal(rig.count('lines_written'), 6);
      await assertVerifies(rig);
      rig.remove();
    });

    it('seals a commit with its number, bytes, lines and the CRC of all before its digits', async () => {
      const rig = open();
      rig.store(line(1) + line(2));
      await rig.stop();
      const text = contentOf(rig, 'metrics-00000001.ndjson');
      const match = SEAL.exec(text);
      assert.ok(match, text);
      const [, data, commit, bytes, lines, crc] = match;
      assert.equal(`${data}}\n`, line(1) + line(2));
      assert.deepEqual([commit, bytes, lines], ['1', String(data!.length), '2']);
      const covered = text.slice(0, text.indexOf(`${crc}"}}\n`));
      assert.equal(Number.parseInt(crc!, 16), zlib.crc32(covered));
      for (const row of text.trimEnd().split('\n')) assert.equal(JSON.parse(row).type, 'gauge');
      assert.equal(rig.count('bytes_written'), text.length);
      rig.remove();
    });

    it('creates no segment before the first commit, and leaves only segments behind', async () => {
      const rig = open();
      assert.deepEqual(rig.segments(), []);
      await rig.stop();
      assert.deepEqual(fs.readdirSync(rig.dataDir), ['.log.json', 'log.json']);
      fs.writeFileSync(join(rig.dataDir, '.spare-3.ndjson'), 'left by a process that was killed');
      const again = open({ dataDir: rig.dataDir });
      again.store(line(1));
      await again.stop();
      assert.deepEqual(fs.readdirSync(rig.dataDir), ['.log.json', 'log.json', 'metrics-00000001.ndjson']);
      rig.remove();
    });

    it('continues the commit numbers in a new segment after a restart', async () => {
      const rig = open();
      rig.store(line(1));
      rig.store(line(2));
      await rig.stop();
      const before = contentOf(rig, rig.segments()[0]!);
      const again = open({ dataDir: rig.dataDir });
      again.store(line(3));
      await again.stop();
      assert.deepEqual(again.segments(), ['metrics-00000001.ndjson', 'metrics-00000002.ndjson']);
      assert.equal(contentOf(rig, 'metrics-00000001.ndjson'), before);
      assert.match(contentOf(rig, 'metrics-00000002.ndjson'), /"commit":3,/);
      rig.remove();
    });

    it('settles under synced only after a sync that covers the lines', () => {
      const ops = new FaultFileOps();
      const rig = open({ ops, config: { ack: 'synced' } });
      const before = ops.calls.length;
      const settledAtSync: (number | null)[] = [];
      ops.fault = (call) => {
        if (call === 'fdatasync') settledAtSync.push(rig.outcome(1));
        return undefined;
      };
      assert.equal(rig.store(line(1)), STORED);
      const calls = ops.calls.slice(before).filter((call) => isWrite(call) || call === 'fdatasync');
      assert.deepEqual(calls, ['writev', 'fdatasync']);
      assert.deepEqual(settledAtSync, [null]);
      assert.equal(rig.count('unsynced_bytes_now'), 0);
      rig.remove();
    });

    for (const ack of ['written', 'received'] as const) {
      it(`settles under ${ack} once written, and syncs in the background when the interval is over`, async () => {
        const ops = new FaultFileOps();
        const rig = open({ ops, config: { ack, syncIntervalMs: 500 } });
        const syncs = () => ops.count('fdatasync') + ops.count('fdatasyncInBackground');
        assert.equal(rig.store(line(1)), STORED);
        assert.equal(syncs(), 0);
        assert.ok(rig.count('unsynced_bytes_now') > 0);
        assert.equal(rig.count('unsynced_lines_now'), 1);
        rig.turn(400);
        await delay(20);
        assert.equal(syncs(), 0);
        rig.turn(200);
        await rig.until(() => rig.count('syncs') === 1);
        assert.equal(rig.count('unsynced_bytes_now'), 0);
        assert.equal(rig.count('unsynced_lines_now'), 0);
        await rig.stop();
        rig.remove();
      });
    }

    it('syncs many unsynced bytes before the interval is over, and the next ones when it is', async () => {
      const rig = open({ journalBytes: 32 << 20, config: { ack: 'written', syncIntervalMs: 10_000 } });
      const text = line(1, 100).repeat(20_000);
      for (let bytes = 0; bytes < 34 << 20; bytes += text.length) rig.store(text);
      rig.turn();
      await rig.until(() => rig.count('syncs') === 1);
      assert.ok(rig.count('unsynced_bytes_now') < 10 << 20);
      await rig.stop();
      assert.equal(rig.count('unsynced_bytes_now'), 0);
      rig.remove();
    });

    it('stores and syncs all that is published when it is stopped', async () => {
      const ops = new FaultFileOps();
      const rig = open({ ops, lanes: 3, config: { ack: 'written' } });
      for (let id = 0; id < 300; id++) rig.put(line(id), id % 3);
      await rig.stop();
      const expected = Array.from({ length: 300 }, (_, id) => line(id)).sort();
      assert.deepEqual(
        rig
          .storedText()
          .split(/(?<=\n)/)
          .sort(),
        expected,
      );
      assert.ok(ops.calls.lastIndexOf('fdatasync') > ops.calls.lastIndexOf('writev'));
      rig.remove();
    });
  });

  describe(`${tested.name}: segments`, () => {
    it('close before a commit would exceed their size; a larger commit gets one of its own', async () => {
      const rig = open({ config: { segmentBytes: 2_000 } });
      const texts = [line(1, 700), line(2, 700), line(3, 700), line(4, 5_000), line(5)];
      for (const text of texts) assert.equal(rig.store(text), STORED);
      await rig.stop();
      assert.deepEqual(
        rig
          .segments()
          .map((name) => [...contentOf(rig, name).matchAll(/"value":(\d+)/g)].map((match) => match[1])),
        [['1', '2'], ['3'], ['4'], ['5']],
      );
      assert.equal(rig.count('segments_created'), 4);
      assert.equal(rig.count('segment_sequence_now'), 4);
      await assertVerifies(rig);
      rig.remove();
    });

    it('rotate in this order: sync the old, name the new, sync the directory, write, settle', () => {
      const ops = new FaultFileOps();
      const rig = open({ ops, config: { ack: 'written', segmentBytes: 1_000 } });
      const first = rig.put(line(1, 900));
      rig.turn();
      const before = ops.calls.length;
      const namesAtSync: string[][] = [];
      const settledAtSync: (number | null)[] = [];
      ops.fault = (call) => {
        if (call !== 'fsync') return undefined;
        namesAtSync.push(rig.segments());
        settledAtSync.push(rig.outcome(first + 1));
        return undefined;
      };
      assert.equal(rig.store(line(2, 900)), STORED);
      const steps = ops.calls.slice(before).filter((call) => ['fdatasync', 'fsync', 'writev'].includes(call));
      assert.deepEqual(steps, ['fdatasync', 'fsync', 'writev']);
      assert.deepEqual(namesAtSync, [['metrics-00000001.ndjson', 'metrics-00000002.ndjson']]);
      assert.deepEqual(settledAtSync, [null]);
      rig.remove();
    });

    it('keep the order of each journal across rotations', async () => {
      const rig = open({ lanes: 2, config: { segmentBytes: 4_000 } });
      for (let id = 0; id < 700; id++) {
        rig.put(line(id), id % 2);
        if (id % 7 === 0) rig.turn();
      }
      await rig.stop();
      assert.ok(rig.segments().length > 10);
      const ids = [...rig.storedText().matchAll(/"value":(\d+)/g)].map((match) => Number(match[1]));
      for (const parity of [0, 1]) {
        assert.deepEqual(
          ids.filter((id) => id % 2 === parity),
          Array.from({ length: 350 }, (_, k) => 2 * k + parity),
        );
      }
      await assertVerifies(rig);
      rig.remove();
    });

    it('are closed when they are old enough, also when nothing comes any more', () => {
      for (const retentionBytes of [0, 1]) {
        const rig = open({ config: { segmentAgeMs: 5_000, retentionBytes } });
        rig.store(line(1));
        rig.turn(4_000);
        rig.store(line(2));
        assert.equal(rig.segments().length, 1);
        rig.turn(1_100);
        // The next is made only by a commit; only a closed one may be removed.
        assert.deepEqual(rig.segments(), retentionBytes === 0 ? ['metrics-00000001.ndjson'] : []);
        assert.equal(rig.store(line(3)), STORED);
        assert.equal(rig.segments().at(-1), 'metrics-00000002.ndjson');
        rig.remove();
      }
    });

    it('are synced under written before they are closed for their age', () => {
      const ops = new FaultFileOps();
      const rig = open({ ops, config: { ack: 'written', segmentAgeMs: 5_000, syncIntervalMs: 60_000 } });
      rig.store(line(1));
      rig.turn(6_000);
      assert.equal(ops.count('fdatasync'), 1);
      assert.equal(rig.count('unsynced_bytes_now'), 0);
      rig.remove();
    });

    it('are removed whole, oldest first, by size and by age, never the open one', async () => {
      const rig = open({ config: { segmentBytes: 1_000, retentionBytes: 3_500 } });
      for (let id = 1; id <= 10; id++) assert.equal(rig.store(line(id, 850)), STORED);
      rig.turn(1_100);
      assert.deepEqual(rig.segments(), [
        'metrics-00000008.ndjson',
        'metrics-00000009.ndjson',
        'metrics-00000010.ndjson',
      ]);
      assert.equal(rig.count('segments_deleted'), 7);
      await assertVerifies(rig);
      await rig.stop();

      const old = Date.now() / 1_000 - 3_600;
      for (const name of rig.segments().slice(0, 2)) fs.utimesSync(join(rig.dataDir, name), old, old);
      const again = open({ dataDir: rig.dataDir, config: { retentionAgeMs: 60_000 } });
      again.store(line(11));
      assert.deepEqual(again.segments(), ['metrics-00000010.ndjson', 'metrics-00000011.ndjson']);
      await again.stop();

      const tiny = open({ dataDir: rig.dataDir, config: { retentionBytes: 1 } });
      tiny.store(line(12));
      assert.deepEqual(tiny.segments(), ['metrics-00000012.ndjson']);
      await tiny.stop();
      rig.remove();
    });

    it('do not age when the wall clock jumps', async (t) => {
      const dayMs = 86_400_000;
      const rig = open({ config: { segmentBytes: 1_000, retentionAgeMs: dayMs } });
      for (let id = 1; id <= 3; id++) assert.equal(rig.store(line(id, 900)), STORED);
      rig.turn(1_100);
      const wallMs = Date.now();
      const clock = t.mock.method(Date, 'now', () => wallMs + 40 * dayMs);
      rig.turn(1_100);
      // Closes the segment whose last write was before the jump.
      assert.equal(rig.store(line(4, 900)), STORED);
      rig.turn(1_100);
      clock.mock.restore();
      rig.turn(1_100);
      assert.equal(rig.segments().length, 4);
      await rig.stop();
      rig.remove();
    });

    it('are all kept without retention settings', async () => {
      const rig = open({ config: { segmentBytes: 1_000 } });
      for (let id = 1; id <= 20; id++) rig.store(line(id, 900));
      rig.turn(1_100);
      assert.equal(rig.segments().length, 20);
      await rig.stop();
      rig.remove();
    });
  });
}
