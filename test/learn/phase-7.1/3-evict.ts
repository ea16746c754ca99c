import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkSet } from './ordering.ts';

export const check: StepModule['check'] = () =>
  checkSet(
    { ways: 1, idleClients: [1], threads: [[1], [2]] },
    'The set has one slot, and its client is idle. One thread charged it, another a newcomer that needs the slot.',
    'a client lost its bucket although it was just charged',
  );

const FILE = 'src/limiter/lock-free-table.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the slot is taken without a check',
    file: FILE,
    find: '    if (seen !== victimBucket) return LOST;\n',
    replace: '    if (seen !== victimBucket) Atomics.store(i32, slot + BUCKET, victimBucket | FROZEN);\n',
  },
];
