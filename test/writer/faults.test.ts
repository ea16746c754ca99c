import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { DISK_FAILED, DISK_OK, DISK_REFUSING } from '../../src/base/control.ts';
import { verify } from '../../src/cli/verify.ts';
import { REFUSED, STORED, UNKNOWN } from '../../src/writer/journal.ts';
import type { WriterMessage } from '../../src/writer/writer.ts';
import { FaultyFileOps } from '../support/faulty-file-ops.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

const WRITES = ['write', 'writev'];
const isWrite = (call: string): boolean => WRITES.includes(call);
/** More than the time between two probes. */
const PROBE_MS = 300;

async function assertVerifies(dataDir: string): Promise<void> {
  let text = '';
  const out = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  assert.equal(await verify({ dataDir, json: false, out }), 0, text);
}

function fatalOf(rig: WriterRig): Extract<WriterMessage, { kind: 'fatal' }>[] {
  return rig.messages.filter((message) => message.kind === 'fatal');
}

test('a short write is finished', async () => {
  for (const directBytes of [0, 4_096]) {
    const ops = new FaultyFileOps();
    const rig = new WriterRig({ ops, config: { directBytes } });
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
    await assertVerifies(rig.dataDir);
    rig.remove();
  }
});

test('a write that fails at any of its calls is cut back, refused, and never appears later', async () => {
  for (const code of ['ENOSPC', 'EIO', 'EDQUOT']) {
    for (const directBytes of [0, 4_096]) {
      for (let failing = 1; failing <= 4; failing++) {
        const ops = new FaultyFileOps();
        const rig = new WriterRig({ ops, config: { directBytes } });
        assert.equal(rig.store(line(1)), STORED);
        // The first calls of the group store a part, the next fails.
        let call = 0;
        ops.fault = (name) => {
          if (!isWrite(name)) return undefined;
          call++;
          return call < failing ? { atMost: 5_000 } : { error: code };
        };
        assert.equal(rig.store(line(666, 100).repeat(200)), REFUSED);
        assert.equal(rig.control.disk, DISK_REFUSING);
        assert.equal(rig.store(line(667)), REFUSED);
        assert.equal(rig.count('refused_lines'), 201);
        ops.fault = () => undefined;
        rig.turn(PROBE_MS);
        assert.equal(rig.control.disk, DISK_OK);
        assert.equal(rig.store(line(2)), STORED);
        await rig.stop();
        assert.equal(rig.storedText(), line(1) + line(2));
        assert.match(fs.readFileSync(join(rig.dataDir, rig.segments()[0]!), 'latin1'), /"commit":2,/);
        await assertVerifies(rig.dataDir);
        rig.remove();
      }
    }
  }
});

test('while the disk takes nothing, groups are refused without a write and the probe leaves no trace', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops });
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
  const spares = fs.readdirSync(rig.dataDir).filter((name) => name.startsWith('.spare'));
  assert.ok(spares.length > 0);
  for (const name of spares) assert.equal(fs.statSync(join(rig.dataDir, name)).size, 0);
  rig.remove();
});

test('refuses before the file system has to, and resumes when there is room', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { minFreeBytes: 1_000_000 } });
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

test('under received, lines that could not be stored are counted as acknowledged and lost', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { ack: 'received' } });
  ops.fault = (call) => (isWrite(call) ? { error: 'ENOSPC' } : undefined);
  // More groups than there are outcome slots: nobody reads outcomes here.
  for (let k = 0; k < 40; k++) {
    rig.put(line(k));
    assert.equal(rig.turn(), true);
  }
  assert.equal(rig.count('lost_acknowledged_lines'), 40);
  assert.equal(rig.count('refused_lines'), 0);
  rig.remove();
});

test('a worker that does not read outcomes holds up only itself', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, rings: 2 });
  ops.fault = (call) => (isWrite(call) ? { error: 'ENOSPC' } : undefined);
  const cursors: number[] = [];
  for (let k = 0; k < 20; k++) {
    cursors.push(rig.put(line(k), 0));
    rig.turn();
  }
  ops.fault = () => undefined;
  rig.turn(PROBE_MS);
  const other = rig.put(line(100), 1);
  rig.turn();
  assert.equal(rig.outcome(other, 1), STORED);
  const outcomes: (number | null)[] = [];
  for (const cursor of cursors) {
    if (rig.outcome(cursor, 0) === null) rig.turn();
    outcomes.push(rig.outcome(cursor, 0));
  }
  assert.ok(outcomes.slice(0, 16).every((outcome) => outcome === REFUSED));
  assert.ok(outcomes.slice(16).every((outcome) => outcome === STORED));
  rig.remove();
});

test('a failed sync makes its group unknown, refuses the rest, names the range, and never syncs again', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops });
  assert.equal(rig.store(line(1)), STORED);
  const path = join(rig.dataDir, 'metrics-00000001.ndjson');
  const from = fs.statSync(path).size;
  ops.fault = (call) => (call === 'fdatasync' ? { error: 'EIO' } : undefined);
  assert.equal(rig.store(line(2) + line(3)), UNKNOWN);
  ops.fault = () => undefined;
  assert.equal(rig.control.disk, DISK_FAILED);
  assert.deepEqual(fatalOf(rig), [
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
  assert.equal(rig.count('sync_errors'), 1);
  rig.remove();
});

test('a background sync that fails is fatal under written, with all unsynced lines in doubt', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { ack: 'written', syncIntervalMs: 100 } });
  rig.store(line(1));
  rig.store(line(2));
  ops.fault = (call) => (call === 'fdatasyncInBackground' ? { error: 'EIO' } : undefined);
  rig.turn(200);
  await rig.until(() => rig.control.disk === DISK_FAILED);
  assert.equal(fatalOf(rig)[0]?.doubtful?.lines, 2);
  assert.equal(fatalOf(rig)[0]?.doubtful?.from, 0);
  assert.equal(rig.count('unknown_lines'), 2);
  assert.equal(rig.store(line(3)), REFUSED);
  await rig.stop();
  assert.equal(ops.count('fdatasync'), 0);
  rig.remove();
});

test('a sync that fails at rotation under written refuses the group and leaves the closed segment in doubt', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { ack: 'written', segmentBytes: 1_000 } });
  assert.equal(rig.store(line(1, 900)), STORED);
  ops.fault = (call) => (call === 'fdatasync' ? { error: 'EIO' } : undefined);
  assert.equal(rig.store(line(2, 900)), REFUSED);
  assert.equal(rig.control.disk, DISK_FAILED);
  assert.deepEqual(
    fatalOf(rig).map(({ doubtful }) => [doubtful?.segment, doubtful?.from, doubtful?.lines]),
    [[join(rig.dataDir, 'metrics-00000001.ndjson'), 0, 1]],
  );
  assert.equal(rig.segments().length, 1);
  assert.equal(rig.count('unknown_lines'), 1);
  assert.equal(rig.count('refused_lines'), 1);
  rig.remove();
});

test('an idle writer notices a full disk and its end by itself', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { minFreeBytes: 1_000_000 } });
  ops.free = 10;
  rig.turn(1_100);
  assert.equal(rig.control.disk, DISK_REFUSING);
  assert.equal(rig.count('free_bytes_now'), 10);
  ops.free = 2_000_000;
  rig.turn(PROBE_MS);
  assert.equal(rig.control.disk, DISK_OK);
  rig.remove();
});

test('when a failed write cannot be cut back, the process has to end and the group is refused', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops });
  rig.store(line(1));
  let write = 0;
  ops.fault = (call) => {
    if (isWrite(call)) return ++write === 1 ? { atMost: 20 } : { error: 'EIO' };
    return call === 'truncate' ? { error: 'EIO' } : undefined;
  };
  assert.equal(rig.store(line(2)), REFUSED);
  assert.equal(rig.control.disk, DISK_FAILED);
  assert.equal(fatalOf(rig).length, 1);
  ops.fault = () => undefined;
  await rig.stop();
  // The next start cuts off what could not be cut back.
  const again = new WriterRig({ dataDir: rig.dataDir });
  again.store(line(3));
  await again.stop();
  assert.equal(again.storedText(), line(1) + line(3));
  await assertVerifies(rig.dataDir);
  rig.remove();
});

test('when no next segment can be made, the open one goes on', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { segmentBytes: 1_000 } });
  const text = line(1, 500);
  rig.store(text);
  ops.fault = (call) => (call === 'rename' || call === 'open' ? { error: 'EMFILE' } : undefined);
  for (let k = 0; k < 5; k++) assert.equal(rig.store(text), STORED);
  assert.equal(rig.segments().length, 1);
  assert.equal(rig.count('rotation_failures'), 1);
  ops.fault = () => undefined;
  rig.turn(1_100);
  assert.equal(rig.store(text), STORED);
  assert.equal(rig.segments().length, 2);
  assert.equal(rig.control.disk, DISK_OK);
  await rig.stop();
  assert.equal(rig.storedText(), text.repeat(7));
  await assertVerifies(rig.dataDir);
  rig.remove();
});

test('with no descriptor left, spares keep rotation going', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { segmentBytes: 1_000 } });
  const text = line(1, 900);
  rig.store(text);
  rig.turn(1_100);
  ops.fault = (call) => (call === 'open' ? { error: 'EMFILE' } : undefined);
  for (let k = 0; k < 8; k++) {
    assert.equal(rig.store(text), STORED);
    rig.turn(1_100);
  }
  assert.equal(rig.segments().length, 9);
  assert.equal(rig.count('rotation_failures'), 0);
  rig.remove();
});

test('a directory sync that fails at rotation refuses the group and is fatal', () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops });
  ops.fault = (call) => (call === 'fsync' ? { error: 'EIO' } : undefined);
  assert.equal(rig.store(line(1)), REFUSED);
  assert.equal(rig.control.disk, DISK_FAILED);
  assert.equal(fatalOf(rig).length, 1);
  rig.remove();
});

test('direct I/O that the file system refuses is replaced by the page cache, said once', async () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops, config: { directBytes: 4_096 } });
  ops.fault = (call) => {
    // The direct write is the one in the middle, on the page boundary.
    return call === 'write' && rig.count('direct_writes') === 0 && ops.count('write') === 1
      ? { error: 'EINVAL' }
      : undefined;
  };
  const text = line(1, 100).repeat(100);
  for (let k = 0; k < 3; k++) assert.equal(rig.store(text), STORED);
  await rig.stop();
  assert.equal(rig.storedText(), text.repeat(3));
  assert.equal(rig.messages.filter((message) => message.kind === 'log').length, 1);
  assert.equal(rig.count('direct_writes'), 0);
  rig.remove();
});

test("an error that is no system call's is a defect: it is thrown, not handled", () => {
  const ops = new FaultyFileOps();
  const rig = new WriterRig({ ops });
  ops.fault = (call) => {
    if (call === 'writev') throw new TypeError('a defect');
    return undefined;
  };
  rig.put(line(1));
  assert.throws(() => rig.turn(), TypeError);
  rig.remove();
});
