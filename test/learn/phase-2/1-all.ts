import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { line } from '../../support/writer-rig.ts';
import { outcomeText, withRig } from './rig.ts';

export const check: StepModule['check'] = () =>
  withRig({ lanes: 2 }, (rig) => {
    const cursors = [1, 2, 3].map((id) => rig.put(line(id)));
    const other = rig.put(line(4), 1);
    rig.turn();
    const outcomes = [...cursors.map((cursor) => outcomeText(rig, cursor)), outcomeText(rig, other, 1)];
    expectEqual(outcomes, ['stored', 'stored', 'stored', 'stored'], {
      did: 'One worker published three times, another once. Then the writer made one turn.',
      so: 'something that was published had to wait for another commit',
    });
    expectEqual(rig.count('commits'), 1, { did: 'The test counted the commits of that turn.' });
    expectEqual(rig.storedText(), [1, 2, 3, 4].map((id) => line(id)).join(''), {
      did: 'The test read the file.',
      so: 'lines are missing, twice there, or in another order than they were published',
    });
  });

const FILE = 'src/writer/group-commit/journal-source.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'one run for each ring',
    file: FILE,
    find: 'while (buffer.bytes < COMMIT_BYTES && journal.next()) {',
    replace: 'if (buffer.bytes < COMMIT_BYTES && journal.next()) {',
  },
  {
    mistake: 'only the first ring',
    file: FILE,
    find: 'i < journals.length && buffer.bytes < COMMIT_BYTES; i++',
    replace: 'i < 1 && buffer.bytes < COMMIT_BYTES; i++',
  },
];
