/** The synchronous writer: the contract of every writer, and what only this one does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FaultFileOps } from '../../load-test/faults/fault-file-ops.ts';
import { DISK_OK } from '../../src/base/control.ts';
import { FREE, lock, unlock } from '../../src/base/futex-lock.ts';
import { FULL, REFUSED, STORED } from '../../src/journal/journal.ts';
import { isSettled } from '../../src/writer/synchronous/synchronous.ts';
import { verified } from '../support/damage.ts';
import { line, type RigOptions, synchronous, WriterRig } from '../support/writer-rig.ts';
import { writerContract } from './contract.ts';
import { writerFaultContract } from './fault-contract.ts';
import { otherProcessesContract } from './other-processes-contract.ts';

writerContract(synchronous);
writerFaultContract(synchronous);
otherProcessesContract(synchronous);

const open = (options: RigOptions = {}) => new WriterRig({ tested: synchronous, ...options });
/** The word that all threads of a rig lock. */
const lockWord = (rig: WriterRig) => new Int32Array(rig.memory.common, 0, 1);

describe('synchronous: a journal', () => {
  it('makes one commit and one sync of each request, also of several published at once', async () => {
    const ops = new FaultFileOps();
    const rig = open({ ops });
    const cursors = [1, 2, 3].map((id) => rig.commit(line(id) + line(id)));
    assert.equal(rig.journals[0]!.usedBytes, (line(1) + line(1)).length * 3);
    assert.equal(rig.outcome(cursors[0]!), null);
    assert.equal(rig.journals[0]!.publish(), false);
    for (const cursor of cursors) assert.equal(rig.outcome(cursor), STORED);
    assert.equal(rig.journals[0]!.usedBytes, 0);
    assert.deepEqual([rig.count('commits'), rig.count('syncs'), ops.count('fdatasync')], [3, 3, 3]);
    assert.equal(rig.count('lines_written'), 6);
    await rig.stop();
    rig.remove();
  });

  it('reports an outcome for each of several requests published at once', () => {
    const ops = new FaultFileOps();
    const rig = open({ ops });
    ops.fault = (call, nth) => (call === 'writev' && nth === 2 ? { error: 'ENOSPC' } : undefined);
    const cursors = [1, 2, 3].map((id) => rig.commit(line(id)));
    rig.journals[0]!.publish();
    assert.deepEqual(
      cursors.map((cursor) => rig.outcome(cursor)),
      [STORED, REFUSED, REFUSED],
    );
    assert.equal(rig.storedText(), line(1));
    rig.remove();
  });

  it('writes waiting lines when a claim needs their room, and is full only for claims that can never fit', () => {
    const rig = open({ journalBytes: 8_192 });
    const journal = rig.journals[0]!;
    assert.equal(journal.claim(4_097), FULL);
    const first = rig.commit(line(1, 3_000));
    assert.equal(rig.outcome(first), null);
    assert.equal(journal.claim(3_000), 0);
    assert.equal(rig.outcome(first), STORED);
    // The claim came to nothing; the next one begins at the same place.
    assert.equal(journal.claim(100), 0);
    rig.remove();
  });

  it('makes nobody wait: committed lines are settled when waiting begins', () => {
    const rig = open();
    const journal = rig.journals[0]!;
    const seen = journal.storedCursor();
    const cursor = rig.commit(line(1));
    assert.equal(journal.waitForStored(seen), null);
    assert.equal(journal.storedCursor(), cursor);
    const next = rig.commit(line(2));
    journal.blockUntilStored(cursor, 1_000);
    assert.equal(journal.storedCursor(), next);
    rig.remove();
  });

  it('may be reopened on its lane at any time, and continues in the open segment', async () => {
    const rig = open({ lanes: 2 });
    for (let id = 0; id < 10; id++) {
      assert.equal(isSettled(), true);
      const journal = rig.reopen(1);
      assert.equal(journal.storedCursor(), 0);
      assert.equal(rig.store(line(id), id % 2), STORED);
    }
    await rig.stop();
    assert.equal(rig.segments().length, 1);
    assert.equal(rig.count('commits'), 10);
    assert.equal((await verified(rig.dataDir)).code, 0);
    rig.remove();
  });

  it('follows the others into the segment that one of them began', async () => {
    const rig = open({ lanes: 3, config: { segmentBytes: 1_000 } });
    let expected = '';
    for (let id = 0; id < 12; id++) {
      const text = line(id, 400);
      expected += text;
      assert.equal(rig.store(text, id % 3), STORED);
    }
    await rig.stop();
    assert.equal(rig.storedText(), expected);
    assert.equal(rig.segments().length, 12);
    assert.equal((await verified(rig.dataDir)).code, 0);
    rig.remove();
  });

  it('refuses without a descriptor for the open segment, and stores once there is one', async () => {
    const ops = new FaultFileOps();
    const rig = open({ ops, lanes: 2 });
    assert.equal(rig.store(line(1), 0), STORED);
    ops.fault = (call) => (call === 'open' ? { error: 'EMFILE' } : undefined);
    // The breaker counts it: the next one may find a descriptor.
    assert.equal(rig.store(line(2), 1), REFUSED);
    assert.equal(rig.control.disk, DISK_OK);
    ops.fault = () => undefined;
    assert.equal(rig.store(line(3), 1), STORED);
    await rig.stop();
    assert.equal(rig.storedText(), line(1) + line(3));
    rig.remove();
  });

  it('stores nothing once the writer thread has ended', async () => {
    const rig = open();
    assert.equal(rig.store(line(1)), STORED);
    await rig.stop();
    const cursor = rig.put(line(2));
    assert.equal(rig.outcome(cursor), REFUSED);
    assert.equal(rig.storedText(), line(1));
    rig.remove();
  });

  it('stores nothing after a defect in another thread', () => {
    const ops = new FaultFileOps();
    const rig = open({ ops, lanes: 2 });
    rig.store(line(1), 0);
    ops.fault = (call) => {
      if (call === 'writev') throw new TypeError('a defect');
      return undefined;
    };
    assert.throws(() => rig.put(line(2), 0), TypeError);
    ops.fault = () => undefined;
    assert.equal(lockWord(rig)[0], FREE);
    assert.equal(rig.store(line(3), 1), REFUSED);
    assert.equal(rig.storedText(), line(1));
    rig.remove();
  });
});

describe('synchronous: a thread that died with the lock', () => {
  it('makes others refuse after a bounded wait, then at once, and all lines are counted', async () => {
    const rig = open({ config: { requestTimeoutMs: 1_000 } });
    assert.equal(rig.store(line(1)), STORED);
    assert.equal(lock(lockWord(rig), 0, 0), true);
    const cursors = [2, 3, 4].map((id) => rig.put(line(id) + line(id)));
    for (let k = 0; k < 100; k++) rig.put(line(5));
    for (const cursor of cursors) assert.equal(rig.outcome(cursor), REFUSED);
    assert.equal(rig.count('refused_lines'), 0);
    unlock(lockWord(rig), 0);
    assert.equal(rig.store(line(6)), STORED);
    assert.equal(rig.count('refused_lines'), 106);
    const warning = rig.messages.find((message) => message.kind === 'log');
    assert.deepEqual(warning?.fields, { lines: 106 });
    await rig.stop();
    assert.equal(rig.storedText(), line(1) + line(6));
    rig.remove();
  });

  it('does not keep the writer thread from ending', async () => {
    const rig = open({ config: { ack: 'written', requestTimeoutMs: 1_000 } });
    rig.store(line(1));
    assert.equal(lock(lockWord(rig), 0, 0), true);
    await rig.stop();
    const logged = rig.messages.filter((message) => message.kind === 'log' && message.level === 'error');
    assert.equal(logged.length, 1);
    rig.remove();
  });
});

describe('synchronous: background syncs under written', () => {
  it('are delayed, and logged, while no descriptor is free to open the segment', async () => {
    const ops = new FaultFileOps();
    const rig = open({ ops, config: { ack: 'written', syncIntervalMs: 100 } });
    // Published without a turn: the writer thread has not opened the file.
    rig.put(line(1));
    ops.fault = (call) => (call === 'open' ? { error: 'EMFILE' } : undefined);
    rig.turn(200);
    rig.turn(200);
    assert.equal(rig.count('syncs'), 0);
    assert.equal(rig.control.disk, DISK_OK);
    const logged = rig.messages.filter((message) => message.kind === 'log' && message.level === 'warn');
    assert.equal(logged.length, 1);
    ops.fault = () => undefined;
    rig.turn(1_100);
    assert.equal(rig.count('syncs'), 1);
    await rig.stop();
    rig.remove();
  });
});
