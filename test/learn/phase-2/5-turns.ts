import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { line } from '../../support/writer-rig.ts';
import { outcomeText, withRig } from './rig.ts';

const LARGE = 900_000;
const LINES = 14;

export const check: StepModule['check'] = () =>
  withRig({ lanes: 3 }, (rig) => {
    for (let id = 0; id < LINES; id++) rig.put(line(id, LARGE));
    const small = [1, 2].map((lane) => rig.put(line(lane), lane));
    for (let turn = 0; turn < 2; turn++) rig.turn();
    const outcomes = small.map((cursor, index) => outcomeText(rig, cursor, index + 1));
    expectEqual(outcomes, ['stored', 'stored'], {
      did: 'One worker published three commits full of lines, two others a line each. Then the writer made two turns.',
      expected: 'the two small ones are stored',
      so: 'a busy worker keeps the others waiting',
    });
  });

const FILE = 'src/writer/group-commit/journal-source.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the first ring always comes first',
    file: FILE,
    find: '    this.firstRing = (this.firstRing + 1) % journals.length;\n',
    replace: '',
  },
];
