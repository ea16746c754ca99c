import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { ThreadRig } from './threads.ts';

export const check: StepModule['check'] = async () => {
  const rig = await ThreadRig.open(2);
  const answers: (string | null)[] = [];
  for (let request = 0; request < 3; request++) {
    answers.push(rig.dispatcher.gate.atHeaders(0));
    rig.admit();
  }
  expectEqual(
    answers.map((reason) => reason ?? 'admitted'),
    ['admitted', 'admitted', 'queue_full'],
    {
      did: 'With two lanes, the headers of three requests arrived one after the other.',
      so: 'the third sends its body although no lane is free',
    },
  );
  expectEqual(rig.threads.length, 2, {
    did: 'The test counted the threads.',
    so: 'there are more threads than lanes',
  });
};

const FILE = 'src/dispatch/thread-per-request.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'full one lane too early',
    file: FILE,
    find: 'return this.free.length === 0;',
    replace: 'return this.free.length <= 1;',
  },
  {
    mistake: 'counts the requests that wait, not the lanes that are held',
    file: FILE,
    find: 'return this.free.length === 0;',
    replace: 'return this.waiting.size >= this.capacity;',
    refusedBy: '1.3',
  },
  {
    mistake: 'never full',
    file: FILE,
    find: 'return this.free.length === 0;',
    replace: 'return this.free.length < 0;',
  },
];
