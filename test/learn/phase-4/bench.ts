/** A charge behind one lock, and behind a lock for each set. */
import type { BenchModule } from '../../../src/learn/bench-module.ts';
import { CHARGE_UNIT, manyClients, oneClient } from '../charge-bench.ts';
import type { ChargeBench } from '../charge-bench-thread.ts';

export const loadSide: ChargeBench['loadSide'] = (side) =>
  side === 'before'
    ? import('../../../src/limiter/global-lock.ts')
    : import('../../../src/limiter/striped-lock.ts');

const rows = { bench: import.meta.url, loadSide };

export const bench: BenchModule['bench'] = {
  unit: CHARGE_UNIT,
  question:
    'two threads charge many clients behind one lock at 200 to 500 ns. With a lock for each set: how many ns?',
  rows: [manyClients(rows), oneClient(rows)],
};
