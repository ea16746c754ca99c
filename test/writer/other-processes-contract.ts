/** Every writer, when other processes delete, move, cut, replace or add files in its directory. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FaultFileOps, systemError } from '../../load-test/faults/fault-file-ops.ts';
import { DISK_OK, DISK_REFUSING } from '../../src/base/control.ts';
import { REFUSED, STORED } from '../../src/journal/journal.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { readLogRecord } from '../../src/storage/log-record.ts';
import { verified } from '../support/damage.ts';
import { line, type RigOptions, type TestedWriter, WriterRig } from '../support/writer-rig.ts';

/** More than the time between two checks of the directory. */
const TICK_MS = 1_100;
/** More than the time between two probes. */
const PROBE_MS = 300;

const pathOf = (rig: WriterRig, sequence: number): string =>
  join(rig.dataDir, `metrics-${String(sequence).padStart(8, '0')}.ndjson`);

const logsOf = (rig: WriterRig, level: string): Readonly<Record<string, unknown>>[] =>
  rig.messages.flatMap((message) =>
    message.kind === 'log' && message.level === level ? [message.fields] : [],
  );

/** Names and contents of all files. */
const contentsOf = (directory: string): Record<string, string> =>
  Object.fromEntries(
    fs.readdirSync(directory).map((name) => [name, fs.readFileSync(join(directory, name), 'latin1')]),
  );

const INJURIES: readonly (readonly [string, (path: string) => void])[] = [
  ['deleted', (path) => fs.rmSync(path)],
  ['emptied', (path) => fs.truncateSync(path)],
  ['truncated', (path) => fs.truncateSync(path, fs.statSync(path).size - 3)],
];

export function otherProcessesContract(tested: TestedWriter): void {
  const open = (options: RigOptions = {}) => new WriterRig({ tested, ...options });

  describe(`${tested.name}: the open segment, changed by other processes`, () => {
    for (const [how, injure] of INJURIES) {
      it(`${how} between commits: the next commit goes to a new file, logged once, and verify reports the loss`, async () => {
        const rig = open();
        assert.equal(rig.store(line(1)), STORED);
        injure(pathOf(rig, 1));
        assert.equal(rig.store(line(2)), STORED);
        assert.equal(rig.store(line(3)), STORED);
        rig.turn(TICK_MS);
        assert.equal(fs.readFileSync(pathOf(rig, 2), 'latin1').match(/"value":/g)?.length, 2);
        assert.equal(logsOf(rig, 'error').length, 1);
        assert.equal(rig.count('segments_touched'), 1);
        await rig.stop();
        const { code, text } = await verified(rig.dataDir);
        assert.equal(code, 1, text);
        assert.doesNotMatch(text, /no damage/);
        rig.remove();
      });

      for (const ack of ['written', 'synced'] as const) {
        it(`${how} while a commit is stored under ${ack}: what is acknowledged is in a file with a name`, async () => {
          const ops = new FaultFileOps();
          const rig = open({ ops, config: { ack } });
          assert.equal(rig.store(line(1)), STORED);
          // The last call before the check that precedes the acknowledgement.
          const last = ack === 'synced' ? 'fdatasync' : 'writev';
          let injured = false;
          const real = ops[last].bind(ops) as (...args: unknown[]) => unknown;
          Object.assign(ops, {
            [last]: (...args: unknown[]) => {
              const result = real(...args);
              if (!injured) injure(pathOf(rig, 1));
              injured = true;
              return result;
            },
          });
          assert.equal(rig.store(line(2)), STORED);
          assert.match(fs.readFileSync(pathOf(rig, 2), 'latin1'), /"value":2,.*"commit":2,/);
          assert.equal(rig.count('commits'), 2);
          assert.equal(rig.count('lines_written'), 2);
          await rig.stop();
          rig.remove();
        });
      }
    }

    it('deleted again and again: refuses instead of acknowledging into files without a name', () => {
      const ops = new FaultFileOps();
      const rig = open({ ops, config: { ack: 'synced' } });
      assert.equal(rig.store(line(1)), STORED);
      ops.fault = (call) => {
        if (call === 'fdatasync') for (const name of rig.segments()) fs.rmSync(join(rig.dataDir, name));
        return undefined;
      };
      assert.equal(rig.store(line(2)), REFUSED);
      assert.equal(rig.control.disk, DISK_OK);
      ops.fault = () => undefined;
      assert.equal(rig.store(line(3)), STORED);
      // The number of the refused commit is used by the next one.
      assert.match(rig.storedText(), /"value":3/);
      assert.match(fs.readFileSync(pathOf(rig, 3), 'latin1'), /"commit":2,/);
      rig.remove();
    });

    it('moved away: found by an idle writer, its commits stay in the moved file', async () => {
      const rig = open({ config: { ack: 'written' } });
      assert.equal(rig.store(line(1)), STORED);
      const moved = join(rig.dataDir, 'archived');
      fs.renameSync(pathOf(rig, 1), moved);
      rig.turn(TICK_MS);
      assert.equal(rig.count('unsynced_bytes_now'), 0);
      assert.equal(rig.store(line(2)), STORED);
      assert.deepEqual(rig.segments(), ['metrics-00000002.ndjson']);
      assert.match(fs.readFileSync(moved, 'latin1'), /"value":1/);
      assert.equal(logsOf(rig, 'error').length, 1);
      await rig.stop();
      rig.remove();
    });

    it('replaced by another file of the same length: not written into', async () => {
      const rig = open();
      assert.equal(rig.store(line(1)), STORED);
      const stranger = 'x'.repeat(fs.statSync(pathOf(rig, 1)).size);
      fs.writeFileSync(join(rig.dataDir, 'stranger'), stranger);
      fs.renameSync(join(rig.dataDir, 'stranger'), pathOf(rig, 1));
      rig.turn(TICK_MS);
      assert.equal(rig.store(line(2)), STORED);
      assert.equal(fs.readFileSync(pathOf(rig, 1), 'latin1'), stranger);
      assert.match(fs.readFileSync(pathOf(rig, 2), 'latin1'), /"value":2/);
      await rig.stop();
      rig.remove();
    });

    it('extended: neither overwrites the foreign bytes nor appends to them', async () => {
      const rig = open();
      assert.equal(rig.store(line(1)), STORED);
      fs.appendFileSync(pathOf(rig, 1), 'a note\n');
      assert.equal(rig.store(line(2)), STORED);
      assert.match(fs.readFileSync(pathOf(rig, 1), 'latin1'), /a note\n$/);
      assert.match(fs.readFileSync(pathOf(rig, 2), 'latin1'), /"value":2/);
      await rig.stop();
      rig.remove();
    });
  });

  describe(`${tested.name}: other files, changed by other processes`, () => {
    for (const code of ['EPERM', 'EFBIG', 'ESTALE'] as const) {
      it(`no longer writable (${code}): refuses once and begins another`, async () => {
        const ops = new FaultFileOps();
        const rig = open({ ops });
        assert.equal(rig.store(line(1)), STORED);
        const writev = ops.writev;
        ops.writev = () => {
          throw systemError(code, 'write');
        };
        // An immutable file cannot be cut either, nor does it need to be.
        ops.truncate = () => {
          throw systemError(code, 'ftruncate');
        };
        assert.equal(rig.store(line(2)), REFUSED);
        ops.writev = writev;
        assert.equal(rig.store(line(3)), STORED);
        assert.deepEqual(rig.segments(), ['metrics-00000001.ndjson', 'metrics-00000002.ndjson']);
        assert.deepEqual(
          logsOf(rig, 'error').map(({ how }) => how),
          [`no longer writable: ${code}`],
        );
        await rig.stop();
        const { code: exitCode, text } = await verified(rig.dataDir);
        assert.equal(exitCode, 0, text);
        rig.remove();
      });
    }

    it('spares swept: rotation continues', () => {
      const rig = open({ config: { segmentBytes: 1_000 } });
      for (let id = 1; id <= 20; id++) {
        for (const name of fs.readdirSync(rig.dataDir))
          if (name.startsWith('.spare-')) fs.rmSync(join(rig.dataDir, name));
        assert.equal(rig.store(line(id, 900)), STORED, `segment ${id}`);
      }
      assert.equal(rig.segments().length, 20);
      assert.equal(rig.count('write_errors'), 0);
      rig.remove();
    });

    it('spares written to or replaced never become segments', () => {
      const rig = open({ config: { segmentBytes: 1_000 } });
      for (const name of fs.readdirSync(rig.dataDir)) {
        if (!name.startsWith('.spare-')) continue;
        fs.writeFileSync(join(rig.dataDir, name), 'a note\n');
      }
      for (let id = 1; id <= 10; id++) assert.equal(rig.store(line(id, 900)), STORED);
      assert.doesNotMatch(rig.storedText(), /note/);
      rig.remove();
    });

    it('the next name taken: rotation skips it and leaves the file alone', () => {
      const rig = open({ config: { segmentBytes: 1_000 } });
      assert.equal(rig.store(line(1, 900)), STORED);
      fs.writeFileSync(pathOf(rig, 2), 'restored');
      fs.mkdirSync(pathOf(rig, 3));
      assert.equal(rig.store(line(2, 900)), STORED);
      assert.equal(rig.store(line(3, 900)), STORED);
      assert.equal(fs.readFileSync(pathOf(rig, 2), 'utf8'), 'restored');
      assert.match(fs.readFileSync(pathOf(rig, 4), 'latin1'), /"value":2/);
      assert.equal(rig.count('rotation_failures'), 0);
      rig.remove();
    });

    it('a closed segment deleted, another emptied: logged once each, and retention continues', () => {
      const rig = open({ config: { segmentBytes: 1_000, retentionBytes: 5_000 } });
      for (let id = 1; id <= 4; id++) assert.equal(rig.store(line(id, 900)), STORED);
      rig.turn(TICK_MS);
      fs.rmSync(pathOf(rig, 1));
      fs.truncateSync(pathOf(rig, 2));
      rig.turn(TICK_MS);
      rig.turn(TICK_MS);
      assert.deepEqual(
        logsOf(rig, 'error').map(({ what, segments }) => [what, segments]),
        [
          ['deleted or moved away', ['metrics-00000001.ndjson']],
          ['emptied', ['metrics-00000002.ndjson']],
        ],
      );
      assert.equal(rig.count('segments_touched'), 2);
      for (let id = 5; id <= 20; id++) assert.equal(rig.store(line(id, 900)), STORED);
      rig.turn(TICK_MS);
      const bytes = rig.segments().reduce((sum, name) => sum + fs.statSync(join(rig.dataDir, name)).size, 0);
      assert.ok(bytes <= 5_000, `${bytes} bytes are kept`);
      rig.remove();
    });

    it('a restored segment is subject to retention again', () => {
      const rig = open({ config: { segmentBytes: 1_000, retentionBytes: 3_000 } });
      for (let id = 1; id <= 3; id++) assert.equal(rig.store(line(id, 900)), STORED);
      const copy = fs.readFileSync(pathOf(rig, 1));
      for (let id = 4; id <= 9; id++) assert.equal(rig.store(line(id, 900)), STORED);
      rig.turn(TICK_MS);
      assert.equal(fs.existsSync(pathOf(rig, 1)), false);
      fs.writeFileSync(pathOf(rig, 1), copy);
      rig.turn(TICK_MS);
      assert.equal(fs.existsSync(pathOf(rig, 1)), false);
      rig.remove();
    });

    it('a file with a higher number is not a closed segment: retention leaves it alone', () => {
      const rig = open({ config: { segmentBytes: 1_000, retentionBytes: 1 } });
      for (let id = 1; id <= 4; id++) assert.equal(rig.store(line(id, 900)), STORED);
      fs.writeFileSync(pathOf(rig, 50), 'restored too early');
      rig.turn(TICK_MS);
      assert.deepEqual(rig.segments(), ['metrics-00000004.ndjson', 'metrics-00000050.ndjson']);
      rig.remove();
    });

    it('a segment that cannot be deleted: logged once, and retention continues with the next', () => {
      const ops = new FaultFileOps();
      const rig = open({ ops, config: { segmentBytes: 1_000, retentionBytes: 3_000 } });
      ops.unlink = (path) => {
        if (path === pathOf(rig, 1)) throw systemError('EPERM', 'unlink');
        nodeFileOps.unlink(path);
      };
      for (let id = 1; id <= 12; id++) assert.equal(rig.store(line(id, 900)), STORED);
      for (let turn = 0; turn < 5; turn++) rig.turn(TICK_MS);
      assert.deepEqual(rig.segments().slice(0, 2), ['metrics-00000001.ndjson', 'metrics-00000011.ndjson']);
      assert.deepEqual(
        logsOf(rig, 'error').map(({ what }) => what),
        ['not deletable: EPERM'],
      );
      ops.unlink = nodeFileOps.unlink;
      rig.turn(TICK_MS);
      assert.equal(rig.segments()[0], 'metrics-00000011.ndjson');
      rig.remove();
    });

    it('log.json deleted: written again with the numbers in use', () => {
      const rig = open();
      for (let id = 1; id <= 3; id++) assert.equal(rig.store(line(id)), STORED);
      const { record: before } = readLogRecord(nodeFileOps, rig.dataDir);
      for (const name of ['log.json', '.log.json']) fs.rmSync(join(rig.dataDir, name));
      rig.turn(TICK_MS);
      const { record } = readLogRecord(nodeFileOps, rig.dataDir);
      assert.deepEqual([record?.id, record?.commit, record?.segment], [before?.id, 3, 1]);
      rig.remove();
    });
  });

  describe(`${tested.name}: the directory, changed by other processes`, () => {
    it('removed: refuses and says why; recreated and locked: continues the numbers there', async () => {
      const rig = open({ config: { segmentBytes: 1_000 } });
      for (let id = 1; id <= 3; id++) assert.equal(rig.store(line(id, 900)), STORED);
      fs.rmSync(rig.dataDir, { recursive: true });
      rig.turn(TICK_MS);
      assert.equal(rig.store(line(4)), REFUSED);
      assert.equal(rig.control.disk, DISK_REFUSING);
      assert.match(String(logsOf(rig, 'error').at(-1)?.reason), /removed or renamed/);
      fs.mkdirSync(rig.dataDir);
      rig.turn(TICK_MS);
      // Another process may own it.
      assert.equal(rig.store(line(5)), REFUSED);
      assert.deepEqual(rig.segments(), []);
      rig.directory.publish(fs.statSync(rig.dataDir));
      rig.turn(TICK_MS);
      rig.turn(PROBE_MS);
      assert.equal(rig.store(line(6)), STORED);
      assert.equal(rig.segments().length, 1);
      assert.match(fs.readFileSync(join(rig.dataDir, rig.segments()[0]!), 'latin1'), /"commit":4,/);
      await rig.stop();
      const { code, text } = await verified(rig.dataDir);
      assert.equal(code, 1);
      assert.match(text, /MISSING: commits 1 to 3 are missing/);
      rig.remove();
    });

    it('replaced by the directory of another log: changes nothing there, not even at the end', async () => {
      const other = open({ config: { segmentBytes: 1_000 } });
      for (let id = 1; id <= 5; id++) assert.equal(other.store(line(id, 900)), STORED);
      await other.stop();
      const rig = open({ config: { segmentBytes: 1_000, retentionBytes: 1_000 } });
      for (let id = 1; id <= 9; id++) assert.equal(rig.store(line(id, 900)), STORED);
      fs.renameSync(rig.dataDir, `${rig.dataDir}-away`);
      fs.renameSync(other.dataDir, rig.dataDir);
      fs.writeFileSync(join(rig.dataDir, '.spare-1.ndjson'), '');
      const before = contentsOf(rig.dataDir);
      for (let turn = 0; turn < 3; turn++) rig.turn(TICK_MS);
      assert.equal(rig.store(line(10)), REFUSED);
      await rig.stop();
      assert.deepEqual(contentsOf(rig.dataDir), before);
      assert.deepEqual(
        logsOf(rig, 'error').filter(({ what }) => what !== undefined),
        [],
        'nothing was done to closed segments',
      );
      rig.remove();
      fs.rmSync(`${rig.dataDir}-away`, { recursive: true });
    });

    it('renamed and renamed back: refuses in between', async () => {
      const rig = open();
      assert.equal(rig.store(line(1)), STORED);
      fs.renameSync(rig.dataDir, `${rig.dataDir}-away`);
      rig.turn(TICK_MS);
      assert.equal(rig.store(line(2)), REFUSED);
      fs.renameSync(`${rig.dataDir}-away`, rig.dataDir);
      rig.turn(PROBE_MS);
      assert.equal(rig.store(line(3)), STORED);
      await rig.stop();
      assert.equal(rig.storedText(), line(1) + line(3));
      const { code, text } = await verified(rig.dataDir);
      assert.equal(code, 0, text);
      rig.remove();
    });
  });
}
