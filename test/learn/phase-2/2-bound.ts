import { expectEqual, expectThat } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { line } from '../../support/writer-rig.ts';
import { withRig } from './rig.ts';

const LARGE = 900_000;
const LINES = 12;
const COMMIT_BYTES = 4 << 20;

export const check: StepModule['check'] = () =>
  withRig({}, (rig) => {
    for (let id = 0; id < LINES; id++) rig.put(line(id, LARGE));
    rig.turn();
    const first = rig.count('bytes_written');
    const did = 'A worker published 12 lines of 900,000 bytes. The writer made one turn.';
    expectThat(first >= COMMIT_BYTES && first < COMMIT_BYTES + 2 * LARGE, {
      did,
      expected: 'a commit of 4 MiB, and at most one run more',
      got: `${first.toLocaleString('en-GB')} bytes`,
      so: 'every request of this commit waits for its last byte',
    });
    for (let turn = 0; turn < 3; turn++) rig.turn();
    expectEqual(rig.count('lines_written'), LINES, {
      did: `${did} Then it made three more.`,
      so: 'a run was moved to and not added: its lines are lost',
    });
  });

const FILE = 'src/writer/group-commit/journal-source.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'no bound',
    file: FILE,
    find: 'while (buffer.bytes < COMMIT_BYTES && journal.next()) {',
    replace: 'while (journal.next()) {',
  },
  {
    mistake: 'the run is taken before the bound is asked',
    file: FILE,
    find: 'while (buffer.bytes < COMMIT_BYTES && journal.next()) {',
    replace: 'while (journal.next() && buffer.bytes < COMMIT_BYTES) {',
  },
];
