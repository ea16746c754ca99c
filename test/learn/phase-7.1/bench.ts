/** A charge behind the lock of a set, and by a swap. */
import type { BenchModule } from '../../../src/learn/bench-module.ts';
import { CHARGE_UNIT, manyClients, oneClient } from '../charge-bench.ts';
import type { ChargeBench } from '../charge-bench-thread.ts';

export const loadSide: ChargeBench['loadSide'] = (side) =>
  side === 'before'
    ? import('../../../src/limiter/striped-lock.ts')
    : import('../../../src/limiter/lock-free.ts');

const rows = { bench: import.meta.url, loadSide };

export const bench: BenchModule['bench'] = {
  unit: CHARGE_UNIT,
  question:
    'two threads charge one client behind the lock of its set at 300 to 900 ns. With a swap instead: how many ns?',
  rows: [oneClient(rows), manyClients(rows)],
};
