import { expectEqual, StepFailure } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { line } from '../../support/writer-rig.ts';
import { outcomeText, withRig } from './rig.ts';

const REFUSALS = 20;

export const check: StepModule['check'] = () =>
  withRig({ lanes: 2 }, (rig, ops) => {
    rig.store(line(0));
    ops.fault = (call) =>
      call.startsWith('write') || call.startsWith('pwrite') ? { error: 'ENOSPC' } : undefined;
    const did = `The disk refused ${REFUSALS} commits of a worker that reads no outcomes.`;
    const cursors: number[] = [];
    try {
      for (let id = 0; id < REFUSALS; id++) {
        cursors.push(rig.put(line(id)));
        rig.turn();
      }
    } catch (error) {
      const got = `the writer stopped: ${(error as Error).message}`;
      throw new StepFailure({ did, expected: 'the writer leaves the rest in the journal', got });
    }
    for (let turn = 0; turn < 2; turn++) {
      const other = rig.put(line(99), 1);
      rig.turn();
      expectEqual(outcomeText(rig, other, 1), 'refused', {
        did: `${did} Then another worker published a line.`,
        so: 'a worker that is late holds up the others',
      });
    }
    expectEqual(rig.outcome(cursors[0]!), 1, {
      did: `${did} Then the worker read the first outcome.`,
      expected: 'refused',
    });
    for (const cursor of cursors) {
      rig.turn();
      expectEqual(outcomeText(rig, cursor), 'refused', {
        did: `${did} Then the worker read its outcomes one after the other.`,
        so: 'a refusal was lost',
      });
    }
  });

const FILE = 'src/writer/group-commit/journal-source.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the writer does not ask for room',
    file: FILE,
    find: 'if (!journal.hasOutcomeRoom()) {',
    replace: 'if (false as boolean) {',
  },
  {
    mistake: 'one late worker ends the gathering',
    file: FILE,
    find: '        this.outcomesAreFull = true;\n        continue;',
    replace: '        this.outcomesAreFull = true;\n        break;',
  },
];
