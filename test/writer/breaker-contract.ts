/** Part of the contract of every writer on a failing disk: when it stops to try, and when it tries again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FaultFileOps } from '../../load-test/faults/fault-file-ops.ts';
import { DISK_OK } from '../../src/base/control.ts';
import { CLOSED, HALF_OPEN, OPEN } from '../../src/breaker/breaker.ts';
import { REFUSED, STORED } from '../../src/journal/journal.ts';
import { verified } from '../support/damage.ts';
import { line, type RigOptions, type TestedWriter, WriterRig } from '../support/writer-rig.ts';

export const isWrite = (call: string): boolean => call === 'write' || call === 'writev';
/** More than the time between two probes. */
export const PROBE_MS = 300;
/** Longer than the breaker stays open after its first opening, and than after a trial that failed. */
const OPEN_MS = 1_100;
const OPEN_TWICE_MS = 2_100;

/** The breaker's transitions as they were logged. */
function transitions(rig: WriterRig): unknown[] {
  return rig.messages.flatMap((message) =>
    message.kind === 'log' && message.fields.stage === 'storage' ? [message.fields.to] : [],
  );
}

export async function assertVerifies(rig: WriterRig): Promise<void> {
  const { code, text } = await verified(rig.dataDir);
  assert.equal(code, 0, text);
}

export function writerBreakerContract(tested: TestedWriter): void {
  const open = (
    ops: FaultFileOps,
    config: RigOptions['config'] = {},
    dataDir?: string,
    breaker: RigOptions['breaker'] = {},
  ) => new WriterRig({ tested, ops, config, breaker, ...(dataDir === undefined ? {} : { dataDir }) });

  describe(`${tested.name}: the breaker`, () => {
    it('opens after several failed writes in a row, tries nothing, and closes after a stored commit', async () => {
      const ops = new FaultFileOps();
      const rig = open(ops);
      assert.equal(rig.store(line(1)), STORED);
      ops.fault = (call) => (isWrite(call) ? { error: 'EIO' } : undefined);
      for (let k = 1; k <= 5; k++) {
        assert.equal(rig.breaker.state, CLOSED);
        assert.equal(rig.store(line(666)), REFUSED);
        assert.equal(rig.count('write_errors'), k);
      }
      assert.equal(rig.breaker.state, OPEN);
      assert.equal(rig.control.disk, DISK_OK);
      // Lines that are already in the journal are refused without a try.
      assert.equal(rig.store(line(667)), REFUSED);
      assert.equal(rig.count('write_errors'), 5);
      // The open time is over, but even the probe fails: no commit is tried.
      const probes = ops.count('write');
      rig.turn(OPEN_MS);
      assert.ok(ops.count('write') > probes);
      assert.equal(rig.breaker.state, OPEN);
      assert.equal(rig.store(line(668)), REFUSED);
      ops.fault = () => undefined;
      rig.turn(OPEN_MS);
      assert.equal(rig.breaker.state, HALF_OPEN);
      assert.equal(rig.store(line(2)), STORED);
      assert.equal(rig.breaker.state, CLOSED);
      assert.equal(rig.store(line(3)), STORED);
      rig.turn();
      assert.deepEqual(transitions(rig), ['open', 'half_open', 'closed']);
      await rig.stop();
      assert.equal(rig.count('refused_lines'), 7);
      assert.equal(rig.storedText(), line(1) + line(2) + line(3));
      await assertVerifies(rig);
      rig.remove();
    });

    it('opens again, for twice as long, when the disk accepts a probe and no commit', () => {
      const ops = new FaultFileOps();
      const rig = open(ops, {}, undefined, { failures: 1 });
      assert.equal(rig.store(line(1)), STORED);
      // Probes are plain writes.
      ops.fault = (call) => (call === 'writev' ? { error: 'EIO' } : undefined);
      assert.equal(rig.store(line(2)), REFUSED);
      assert.equal(rig.breaker.state, OPEN);
      rig.turn(OPEN_MS);
      assert.equal(rig.breaker.state, HALF_OPEN);
      assert.equal(rig.store(line(3)), REFUSED);
      assert.equal(rig.breaker.state, OPEN);
      rig.turn(OPEN_MS);
      assert.equal(rig.breaker.state, OPEN);
      rig.turn(OPEN_TWICE_MS - OPEN_MS);
      assert.equal(rig.breaker.state, HALF_OPEN);
      ops.fault = () => undefined;
      assert.equal(rig.store(line(4)), STORED);
      assert.equal(rig.breaker.state, CLOSED);
      assert.equal(rig.storedText(), line(1) + line(4));
      rig.remove();
    });

    it('logs writes that fail below its threshold once a second, with their code', () => {
      const ops = new FaultFileOps();
      const rig = open(ops, {}, undefined, { failures: 100, errorPercent: 100 });
      assert.equal(rig.store(line(0)), STORED);
      ops.fault = (call) => (isWrite(call) ? { error: 'EIO' } : undefined);
      for (let k = 0; k < 9; k++) rig.store(line(k));
      const warnings = () =>
        rig.messages.filter(
          (message) => message.kind === 'log' && message.level === 'warn' && message.fields.code === 'EIO',
        );
      rig.turn();
      assert.equal(warnings().length, 1);
      rig.turn(1_000);
      rig.store(line(10));
      rig.turn();
      assert.equal(warnings().length, 2);
      assert.equal(rig.breaker.state, CLOSED);
      rig.remove();
    });

    it('leaves a full disk to the guard, which resumes by itself', () => {
      const ops = new FaultFileOps();
      const rig = open(ops, { minFreeBytes: 1_000_000 }, undefined, { failures: 1 });
      assert.equal(rig.store(line(1)), STORED);
      ops.free = 10;
      rig.turn(200);
      for (let k = 0; k < 20; k++) assert.equal(rig.store(line(2)), REFUSED);
      assert.equal(rig.breaker.state, CLOSED);
      ops.free = 2_000_000;
      rig.turn(PROBE_MS);
      assert.equal(rig.store(line(3)), STORED);
      rig.remove();
    });
  });
}
