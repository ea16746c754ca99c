import {
  fullScenario,
  type KeyTableModule,
  onceScenario,
  refusedScenario,
} from '../../../src/happens-before/scenarios/key-table.ts';
import { type Algorithm, swap } from '../algorithm.ts';

const FILE = 'idempotency/table.js';

export const keyTable: Algorithm<KeyTableModule> = {
  name: 'table of idempotency keys',
  modules: [FILE],
  breaks: [FILE],
  // The lock spins before it sleeps: with many spins there are far too many orders.
  constants: { SPINS: 0 },
  scenarios: [onceScenario, refusedScenario, fullScenario],
  variants: [
    swap('no lock', FILE, 'if (!lock(this.i32, set, LOCK_BOUND_MS))\n            return NO_ENTRY;', ''),
    swap(
      'unlock before the search',
      FILE,
      'const code = this.claimLocked(',
      'unlock(this.i32, set); const code = this.claimLocked(',
    ),
    swap(
      'take entries in flight',
      FILE,
      'else if (state === STORED && since < oldestSeconds)',
      'else if (since < oldestSeconds)',
    ),
    swap('a refused request counts as stored', FILE, 'isStored ? since | STORED : FREE', 'since | STORED'),
  ],
};
