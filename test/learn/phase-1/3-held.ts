import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { ThreadRig } from './threads.ts';

export const check: StepModule['check'] = async () => {
  const rig = await ThreadRig.open(1);
  rig.admit();
  await rig.answer(0);
  expectEqual(rig.dispatcher.gate.atHeaders(0) ?? 'admitted', 'queue_full', {
    did: 'With one lane, a thread has answered and still runs. The headers of another request arrived.',
    so: 'a lane is held until its thread ends, and the gate counts lanes',
  });
  expectEqual(rig.admit().status, 503, {
    did: 'The thread still runs. The whole of another request arrived.',
    expected: '503',
    so: 'two threads would use one lane at once',
  });
  expectEqual(rig.dispatcher.pending, 1, { did: 'The test asked for the threads that have not ended.' });
  await rig.end(0);
  expectEqual(rig.dispatcher.pending, 0, {
    did: 'The thread ended. The test asked for the threads that have not ended.',
    so: 'the lane is never free again',
  });
  rig.admit();
  expectEqual(rig.threads.length, 2, {
    did: 'Then another request arrived, and the test counted the threads.',
  });
  await rig.answer(1);
  await rig.end(1);
  expectEqual(rig.dispatcher.pending, 0, {
    did: 'That thread answered and ended too.',
    so: 'a lane was released twice',
  });
};

const FILE = 'src/dispatch/thread-per-request.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'released at the answer',
    file: FILE,
    find: '      hasAnswered = true;\n',
    replace: '      hasAnswered = true;\n      this.lanes.release(lane);\n',
  },
  {
    mistake: 'never released',
    file: FILE,
    find: '      //> 1.3 the thread has ended\n      this.lanes.release(lane);\n',
    replace: '      //> 1.3 the thread has ended\n',
  },
];
