import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { ThreadRig } from './threads.ts';

export const check: StepModule['check'] = async () => {
  const rig = await ThreadRig.open(2);
  rig.admit();
  rig.admit();
  await rig.answer(0);
  await rig.end(0);
  expectEqual(rig.deaths.length, 0, {
    did: 'A thread answered and ended.',
    expected: 'no death is reported',
    so: 'this is how a thread ends',
  });
  await rig.end(1);
  expectEqual(rig.deaths.length, 1, {
    did: 'A thread ended without an answer.',
    expected: 'one death is reported',
    so: 'a request waits for ever, and nobody knows',
  });
};

const FILE = 'src/dispatch/thread-per-request.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'deaths go unnoticed',
    file: FILE,
    find: '      if (!hasAnswered) this.parts.died(',
    replace: '      if (hasAnswered && !hasAnswered) this.parts.died(',
  },
  {
    mistake: 'every end is a death',
    file: FILE,
    find: '      if (!hasAnswered) this.parts.died(',
    replace: '      this.parts.died(',
  },
];
