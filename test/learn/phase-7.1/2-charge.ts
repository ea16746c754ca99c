import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { ADMITTED, LIMITED } from '../../../src/limiter/limiter.ts';
import { chargeClients, createSet } from './charges.ts';
import { checkSet } from './ordering.ts';

export const check: StepModule['check'] = async () => {
  const memory = createSet(2, [1]);
  expectEqual(chargeClients(memory, 2, [1, 1, 1, 1, 1]), [ADMITTED, ADMITTED, ADMITTED, ADMITTED, LIMITED], {
    did: 'One thread charged a full bucket of four tokens five times.',
    expected: 'four are admitted, the fifth is limited',
  });
  await checkSet(
    // So long idle that the short way of `charge` leaves the client to this one.
    { ways: 1, idleClients: [1], idleMs: 300_000, threads: [[1], [1]] },
    'Two threads charged the same client, one token each.',
    'a charge was lost: the client gets more than its limit',
  );
};

const FILE = 'src/limiter/lock-free-table.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'a store instead of a swap',
    file: FILE,
    find: '      if (Atomics.compareExchange(i32, slot + BUCKET, bucket, next) !== bucket) continue;\n      //<',
    replace: '      Atomics.store(i32, slot + BUCKET, next);\n      //<',
    refusedBy: '7.1.2',
  },
];
