import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import type { WriterRig } from '../../support/writer-rig.ts';
import { line } from '../../support/writer-rig.ts';
import { outcomeText, withRig } from './rig.ts';

/** Calls `look` at each move of a cursor, as a worker that is just then awake. */
function watchStores(look: () => void, action: () => void): void {
  const { store } = Atomics;
  const watched = Atomics as { store: unknown };
  watched.store = (words: Int32Array, index: number, value: number): number => {
    const result = store(words, index, value);
    look();
    return result;
  };
  try {
    action();
  } finally {
    watched.store = store;
  }
}

/** The outcomes of these lines that the worker sees, look by look. */
function outcomesSeen(rig: WriterRig, cursor: number): string[] {
  const seen = new Set<string>();
  watchStores(
    () => seen.add(outcomeText(rig, cursor)),
    () => rig.turn(),
  );
  return [...seen].filter((text) => text !== 'not settled');
}

export const check: StepModule['check'] = () => {
  withRig({}, (rig, ops) => {
    rig.store(line(1));
    ops.fault = (call) =>
      call.startsWith('write') || call.startsWith('pwrite') ? { error: 'ENOSPC' } : undefined;
    const cursor = rig.put(line(2));
    expectEqual(outcomesSeen(rig, cursor), ['refused'], {
      did: 'The disk is full. A worker published a line, the writer made a turn, and the worker checked its line after each store.',
      expected: 'refused, at every check',
      so: 'a worker would acknowledge a line that was never stored',
    });
  });
  withRig({ config: { ack: 'received' } }, (rig, ops) => {
    rig.store(line(1));
    ops.fault = (call) =>
      call.startsWith('write') || call.startsWith('pwrite') ? { error: 'ENOSPC' } : undefined;
    let cursor = 0;
    for (let id = 0; id < 40; id++) {
      cursor = rig.put(line(id));
      rig.turn();
    }
    expectEqual(rig.journals[0]!.storedCursor(), cursor, {
      did: 'Under --ack received the disk is full, and a worker that reads no outcomes published 40 times.',
      expected: 'the stored cursor has passed all of it',
      so: 'outcomes that nobody reads fill their ring',
    });
  });
};

const FILE = 'src/writer/group-commit/journal-source.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the cursor first',
    file: FILE,
    find: `      if (outcome !== STORED && config.ack !== 'received') journal.pushOutcome(outcome);
      journal.release();`,
    replace: `      journal.release();
      if (outcome !== STORED && config.ack !== 'received') journal.pushOutcome(outcome);`,
  },
  {
    mistake: 'outcomes that nobody reads',
    file: FILE,
    find: "outcome !== STORED && config.ack !== 'received'",
    replace: 'outcome !== STORED',
  },
];
