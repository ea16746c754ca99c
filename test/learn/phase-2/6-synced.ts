import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { line } from '../../support/writer-rig.ts';
import { outcomeText, withRig } from './rig.ts';

const REQUESTS = 3;

export const check: StepModule['check'] = () => {
  withRig({ lanes: REQUESTS }, (rig, ops) => {
    rig.store(line(0));
    const cursors = Array.from({ length: REQUESTS }, (_, lane) => rig.put(line(lane + 1), lane));
    const seen: string[] = [];
    ops.fault = (call) => {
      if (call === 'fdatasync')
        seen.push(cursors.map((cursor, lane) => outcomeText(rig, cursor, lane)).join(', '));
      return undefined;
    };
    rig.turn();
    expectEqual(seen, ['not settled, not settled, not settled'], {
      did: 'Three workers published a line each. At every sync of the next turn the test asked for the outcomes.',
      expected: 'one sync, before which nothing is settled',
      so: 'lines that are only in the page cache are acknowledged: a power cut loses them',
    });
    expectEqual(
      cursors.map((cursor, lane) => outcomeText(rig, cursor, lane)),
      ['stored', 'stored', 'stored'],
      { did: 'The test asked for the outcomes after the turn.' },
    );
  });
  withRig({}, (rig, ops) => {
    rig.store(line(0));
    ops.fault = (call) => (call === 'fdatasync' ? { error: 'EIO' } : undefined);
    const cursor = rig.put(line(1));
    rig.turn();
    expectEqual(outcomeText(rig, cursor), 'unknown', {
      did: 'The disk reported an error for the sync of a line that was written.',
      so: 'it may be on the disk; a client that gets "refused" sends it again, and it is stored twice',
    });
  });
  withRig({ config: { ack: 'written' } }, (rig, ops) => {
    rig.store(line(0));
    const before = ops.count('fdatasync');
    rig.store(line(1));
    expectEqual(ops.count('fdatasync') - before, 0, {
      did: 'With --ack written a worker published a line, and the test counted the syncs of the turn.',
      expected: 'none',
      so: 'this level is answered before the sync, so the sync can wait',
    });
  });
};

const FILE = 'src/writer/commit-log.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'a sync at every level',
    file: FILE,
    find: "if (config.ack === 'synced' && !this.sync()) {",
    replace: 'if (!this.sync()) {',
  },
  {
    mistake: 'a failed sync counts as refused',
    file: FILE,
    find: 'return UNKNOWN;',
    replace: 'return REFUSED;',
  },
  {
    mistake: 'a failed sync counts as stored',
    file: FILE,
    find: "if (config.ack === 'synced' && !this.sync()) {",
    replace: "if (config.ack === 'synced' && !this.sync() && buffer.lines === 0) {",
  },
];
