/** The contract of every writer on a failing disk: outcomes, reports, and the content of the files. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FaultFileOps } from '../../load-test/faults/fault-file-ops.ts';
import { DISK_FAILED, DISK_OK, DISK_REFUSING } from '../../src/base/control.ts';
import { CLOSED } from '../../src/breaker/breaker.ts';
import { REFUSED, STORED, UNKNOWN } from '../../src/journal/journal.ts';
import { segmentName } from '../../src/storage/segment-name.ts';
import { line, type RigOptions, type TestedWriter, WriterRig } from '../support/writer-rig.ts';
import { assertVerifies, isWrite, PROBE_MS, writerBreakerContract } from './breaker-contract.ts';

const isBackgroundSync = (call: string): boolean => call === 'fdatasync' || call === 'fdatasyncInBackground';

export function writerFaultContract(tested: TestedWriter): void {
  const open = (
    ops: FaultFileOps,
    config: RigOptions['config'] = {},
    dataDir?: string,
    breaker: RigOptions['breaker'] = {},
  ) => new WriterRig({ tested, ops, config, breaker, ...(dataDir === undefined ? {} : { dataDir }) });

  describe(`${tested.name}: a write`, () => {
    it('that is short is finished', async () => {
      for (const directBytes of [0, 4_096]) {
        const ops = new FaultFileOps();
        const rig = open(ops, { directBytes });
        let left = 40;
        ops.fault = (call) => (isWrite(call) && left-- > 0 ? { atMost: 1 + (left % 700) } : undefined);
        let expected = '';
        for (let id = 0; id < 6; id++) {
          const text = line(id, 30).repeat(100);
          expected += text;
          assert.equal(rig.store(text), STORED);
        }
        ops.fault = () => undefined;
        await rig.stop();
        assert.equal(rig.storedText(), expected);
        assert.ok(rig.count('short_writes') >= 20, String(rig.count('short_writes')));
        await assertVerifies(rig);
        rig.remove();
      }
    });

    it('that fails at any of its calls is cut back, refused, and never appears later', async () => {
      for (const code of ['ENOSPC', 'EIO', 'EDQUOT']) {
        for (const directBytes of [0, 4_096]) {
          for (let failing = 1; failing <= 4; failing++) {
            const ops = new FaultFileOps();
            const rig = open(ops, { directBytes });
            assert.equal(rig.store(line(1)), STORED);
            // The first calls store a part, the next fails.
            let call = 0;
            ops.fault = (name) => {
              if (!isWrite(name)) return undefined;
              call++;
              return call < failing ? { atMost: 5_000 } : { error: code };
            };
            assert.equal(rig.store(line(666, 100).repeat(200)), REFUSED);
            // A full disk is probed before the next write; after any other error the next write is tried.
            const hasNoRoom = code !== 'EIO';
            assert.equal(rig.control.disk, hasNoRoom ? DISK_REFUSING : DISK_OK);
            const calls = call;
            assert.equal(rig.store(line(667)), REFUSED);
            assert.equal(call > calls, !hasNoRoom);
            assert.equal(rig.count('refused_lines'), 201);
            assert.equal(rig.count('write_errors'), hasNoRoom ? 1 : 2);
            assert.equal(rig.breaker.state, CLOSED);
            ops.fault = () => undefined;
            rig.turn(PROBE_MS);
            assert.equal(rig.control.disk, DISK_OK);
            assert.equal(rig.store(line(2)), STORED);
            await rig.stop();
            assert.equal(rig.storedText(), line(1) + line(2));
            assert.match(fs.readFileSync(join(rig.dataDir, rig.segments()[0]!), 'latin1'), /"commit":2,/);
            await assertVerifies(rig);
            rig.remove();
          }
        }
      }
    });

    it('is not tried while the disk accepts nothing, and probing leaves no trace', () => {
      const ops = new FaultFileOps();
      const rig = open(ops);
      rig.store(line(1));
      ops.fault = (call) => (isWrite(call) ? { error: 'ENOSPC' } : undefined);
      rig.store(line(2));
      const writes = ops.count('writev');
      for (let k = 0; k < 20; k++) {
        assert.equal(rig.store(line(3)), REFUSED);
        rig.turn(PROBE_MS);
        assert.equal(rig.control.disk, DISK_REFUSING);
      }
      assert.equal(ops.count('writev'), writes);
      assert.ok(ops.count('write') >= 20);
      for (const name of fs.readdirSync(rig.dataDir)) {
        if (name.startsWith('.spare-')) assert.equal(fs.statSync(join(rig.dataDir, name)).size, 0, name);
      }
      const errors = rig.messages.filter((message) => message.kind === 'log' && message.level === 'error');
      assert.equal(errors.length, 1);
      rig.remove();
    });

    it('that cannot be cut back ends the process, and its lines are refused', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops);
      rig.store(line(1));
      let write = 0;
      ops.fault = (call) => {
        if (isWrite(call)) return ++write === 1 ? { atMost: 20 } : { error: 'EIO' };
        return call === 'truncate' ? { error: 'EIO' } : undefined;
      };
      assert.equal(rig.store(line(2)), REFUSED);
      assert.equal(rig.control.disk, DISK_FAILED);
      assert.equal(rig.fatal().length, 1);
      ops.fault = () => undefined;
      assert.equal(rig.store(line(4)), REFUSED);
      await rig.stop();
      // The next start cuts off what could not be cut back.
      const again = open(new FaultFileOps(), {}, rig.dataDir);
      again.store(line(3));
      await again.stop();
      assert.equal(again.storedText(), line(1) + line(3));
      await assertVerifies(rig);
      rig.remove();
    });

    it('that throws what no system call throws is a defect: thrown on, not handled', () => {
      const ops = new FaultFileOps();
      const rig = open(ops);
      ops.fault = (call) => {
        if (call === 'writev') throw new TypeError('a defect');
        return undefined;
      };
      assert.throws(() => rig.store(line(1)), TypeError);
      rig.remove();
    });
  });

  writerBreakerContract(tested);

  describe(`${tested.name}: free space`, () => {
    it('below the limit refuses before the file system has to, and resumes when there is room', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { minFreeBytes: 1_000_000 });
      ops.free = 2_000_000;
      assert.equal(rig.store(line(1)), STORED);
      ops.free = 999_999;
      rig.turn(200);
      assert.equal(rig.store(line(2)), REFUSED);
      assert.equal(rig.control.disk, DISK_REFUSING);
      assert.equal(rig.count('write_errors'), 0);
      rig.turn(PROBE_MS);
      assert.equal(rig.control.disk, DISK_REFUSING);
      ops.free = 1_000_000;
      rig.turn(PROBE_MS);
      assert.equal(rig.control.disk, DISK_OK);
      assert.equal(rig.store(line(3)), STORED);
      await rig.stop();
      assert.equal(rig.storedText(), line(1) + line(3));
      rig.remove();
    });

    it('is read every 8 MiB too, however short the time', () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { ack: 'written', minFreeBytes: 1_000_000 });
      const text = line(1, 1_000).repeat(1_000);
      assert.equal(rig.store(text), STORED);
      ops.free = 0;
      let stored = 0;
      while (rig.store(text) === STORED) stored += text.length;
      assert.ok(stored <= 8 << 20, String(stored));
      rig.remove();
    });

    it('is noticed by an idle writer, when it ends and when it is back', () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { minFreeBytes: 1_000_000 });
      ops.free = 10;
      rig.turn(1_100);
      assert.equal(rig.control.disk, DISK_REFUSING);
      assert.equal(rig.count('free_bytes_now'), 10);
      ops.free = 2_000_000;
      rig.turn(PROBE_MS);
      assert.equal(rig.control.disk, DISK_OK);
      rig.remove();
    });
  });

  describe(`${tested.name}: lines under received`, () => {
    it('that could not be stored are counted as acknowledged and lost', () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { ack: 'received' });
      ops.fault = (call) => (isWrite(call) ? { error: 'ENOSPC' } : undefined);
      // More than a journal has room for outcomes of: nobody reads them.
      for (let k = 0; k < 40; k++) {
        const cursor = rig.put(line(k));
        rig.turn();
        // Settled, and no outcome for whoever would ask: the answer was out before.
        if (k % 10 === 0) assert.equal(rig.outcome(cursor), STORED);
      }
      assert.equal(rig.count('lost_acknowledged_lines'), 40);
      assert.equal(rig.count('refused_lines'), 0);
      rig.remove();
    });
  });

  describe(`${tested.name}: a sync that fails`, () => {
    it('makes its lines unknown, refuses later ones, names the range, and is the last sync', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops);
      assert.equal(rig.store(line(1)), STORED);
      const path = join(rig.dataDir, 'metrics-00000001.ndjson');
      const from = fs.statSync(path).size;
      ops.fault = (call) => (call === 'fdatasync' ? { error: 'EIO' } : undefined);
      assert.equal(rig.store(line(2) + line(3)), UNKNOWN);
      ops.fault = () => undefined;
      assert.equal(rig.control.disk, DISK_FAILED);
      assert.deepEqual(rig.fatal(), [
        {
          kind: 'fatal',
          reason: 'a sync failed: EIO',
          doubtful: { segment: path, from, to: fs.statSync(path).size, lines: 2 },
        },
      ]);
      const calls = ops.calls.length;
      assert.equal(rig.store(line(4)), REFUSED);
      rig.turn(10_000);
      assert.equal(rig.control.disk, DISK_FAILED);
      await rig.stop();
      const later = ops.calls.slice(calls);
      assert.ok(!later.some((call) => call.includes('sync') || isWrite(call)), later.join());
      assert.equal(rig.count('unknown_lines'), 2);
      assert.equal(rig.count('refused_lines'), 1);
      assert.equal(rig.count('sync_errors'), 1);
      assert.equal(rig.fatal().length, 1);
      rig.remove();
    });

    it('in the background is fatal under written, with all unsynced lines in doubt', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { ack: 'written', syncIntervalMs: 100 });
      rig.store(line(1));
      rig.store(line(2));
      ops.fault = (call) => (isBackgroundSync(call) ? { error: 'EIO' } : undefined);
      rig.turn(200);
      await rig.until(() => rig.control.disk === DISK_FAILED);
      assert.equal(rig.fatal()[0]?.doubtful?.lines, 2);
      assert.equal(rig.fatal()[0]?.doubtful?.from, 0);
      assert.equal(rig.count('unknown_lines'), 2);
      assert.equal(rig.store(line(3)), REFUSED);
      const syncs = ops.calls.filter(isBackgroundSync).length;
      await rig.stop();
      assert.equal(ops.calls.filter(isBackgroundSync).length, syncs);
      rig.remove();
    });

    it('at rotation under written refuses the lines and leaves the closed segment in doubt', () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { ack: 'written', segmentBytes: 1_000 });
      assert.equal(rig.store(line(1, 900)), STORED);
      ops.fault = (call) => (call === 'fdatasync' ? { error: 'EIO' } : undefined);
      assert.equal(rig.store(line(2, 900)), REFUSED);
      assert.equal(rig.control.disk, DISK_FAILED);
      assert.deepEqual(
        rig.fatal().map(({ doubtful }) => [doubtful?.segment, doubtful?.from, doubtful?.lines]),
        [[join(rig.dataDir, 'metrics-00000001.ndjson'), 0, 1]],
      );
      assert.equal(rig.segments().length, 1);
      assert.equal(rig.count('unknown_lines'), 1);
      assert.equal(rig.count('refused_lines'), 1);
      rig.remove();
    });

    it('at the stop is reported before the writer ends', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { ack: 'written' });
      rig.store(line(1));
      ops.fault = (call) => (isBackgroundSync(call) ? { error: 'EIO' } : undefined);
      await rig.stop();
      assert.equal(rig.control.disk, DISK_FAILED);
      assert.equal(rig.fatal()[0]?.doubtful?.lines, 1);
      rig.remove();
    });

    it('of the directory refuses the lines and is fatal', () => {
      const ops = new FaultFileOps();
      const rig = open(ops);
      ops.fault = (call) => (call === 'fsync' ? { error: 'EIO' } : undefined);
      assert.equal(rig.store(line(1)), REFUSED);
      assert.equal(rig.control.disk, DISK_FAILED);
      assert.equal(rig.fatal().length, 1);
      assert.equal(rig.fatal()[0]?.doubtful, null);
      rig.remove();
    });
  });

  describe(`${tested.name}: a check of the open segment that fails`, () => {
    for (const ack of ['written', 'synced'] as const) {
      it(`after a commit under ${ack} leaves it stored once, and refuses the next one`, async () => {
        const ops = new FaultFileOps();
        const rig = open(ops, { ack });
        assert.equal(rig.store(line(1)), STORED);
        let hasWritten = false;
        ops.fault = (call) => {
          if (isWrite(call)) hasWritten = true;
          return call === 'fstat' && hasWritten ? { error: 'EIO' } : undefined;
        };
        assert.equal(rig.store(line(2)), STORED);
        assert.equal(rig.store(line(666)), REFUSED);
        ops.fault = () => undefined;
        assert.equal(rig.store(line(3)), STORED);
        assert.equal(rig.count('commits'), 3);
        await rig.stop();
        assert.equal(rig.storedText(), line(1) + line(2) + line(3));
        await assertVerifies(rig);
        rig.remove();
      });
    }

    it('while the writer is idle is logged once, and commits continue', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops);
      rig.store(line(1));
      ops.fault = (call) => (call === 'fstat' ? { error: 'EIO' } : undefined);
      for (let k = 0; k < 3; k++) rig.turn(1_100);
      ops.fault = () => undefined;
      const warned = rig.messages.filter((message) => message.kind === 'log' && message.level === 'warn');
      assert.equal(warned.length, 1);
      assert.equal(rig.store(line(2)), STORED);
      await rig.stop();
      assert.equal(rig.storedText(), line(1) + line(2));
      await assertVerifies(rig);
      rig.remove();
    });
  });

  describe(`${tested.name}: a next segment that cannot be made`, () => {
    it('leaves the open one going on, and is tried again', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { segmentBytes: 1_000 });
      const text = line(1, 500);
      rig.store(text);
      ops.fault = (call) => (call === 'rename' || call === 'open' ? { error: 'EMFILE' } : undefined);
      for (let k = 0; k < 5; k++) assert.equal(rig.store(text), STORED);
      assert.equal(rig.segments().length, 1);
      assert.equal(rig.count('rotation_failures'), 1);
      const logged = rig.messages.find((message) => message.kind === 'log' && message.level === 'warn');
      const fields = { code: 'EMFILE', segment: segmentName(1) };
      assert.deepEqual(logged?.kind === 'log' && logged.fields, fields);
      ops.fault = () => undefined;
      rig.turn(1_100);
      assert.equal(rig.store(text), STORED);
      assert.equal(rig.segments().length, 2);
      assert.equal(rig.control.disk, DISK_OK);
      await rig.stop();
      assert.equal(rig.storedText(), text.repeat(7));
      await assertVerifies(rig);
      rig.remove();
    });
  });
}
