import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { ThreadRig } from './threads.ts';

export const check: StepModule['check'] = async () => {
  const rig = await ThreadRig.open(3);
  const [answered, ...waiting] = [rig.admit(), rig.admit(), rig.admit()];
  await rig.answer(0);
  rig.dispatcher.expireAll(0);
  expectEqual(
    [answered!, ...waiting].map(({ status }) => status),
    [200, 504, 504],
    {
      did: 'Of three requests one was answered; the drain time ended.',
      expected: '200, and 504 for the two that wait',
      so: 'a client loses its connection without an answer',
    },
  );
  expectEqual(rig.drainTimeouts, 2, { did: 'The test read the counter timeouts_drain.' });
  await rig.answer(1);
  expectEqual(waiting[0]!.status, 504, {
    did: 'A thread answered after the end of the drain.',
    so: 'a request has two answers',
  });
  rig.dispatcher.expireAll(0);
  expectEqual(rig.drainTimeouts, 2, { did: 'The drain ended once more.', so: 'a request was counted twice' });
};

const FILE = 'src/dispatch/thread-per-request.ts';

export const mutants: StepModule['mutants'] = [
  { mistake: 'answered requests still wait', file: FILE, find: '    waiting.clear();\n', replace: '' },
  {
    mistake: 'not counted',
    file: FILE,
    find: '      this.parts.counters[WORKER.timeouts_drain]! += 1;\n',
    replace: '',
  },
];
