import { expectEqual, expectThat } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import {
  BUCKET,
  FRESH,
  HIGH,
  LAST_MS_F64,
  LOW,
  OVERFLOWED,
  TableIndex,
  VERSION,
} from '../../../src/limiter/lock-free-layout.ts';
import { FROZEN, TokenClock } from '../../../src/limiter/token-clock.ts';
import { chargeClients, createSet, missingTokens, NOW_MS } from './charges.ts';

const WAYS = 2;

/** The memory as a thread leaves it that dies in the middle of inserting client 7. */
function halfInserted(): SharedArrayBuffer {
  const memory = createSet(WAYS, []);
  const words = new Int32Array(memory);
  const index = new TableIndex(0, { sets: 1, ways: WAYS });
  const set = index.set(0);
  const slot = index.slot(set, 0);
  const clock = new TokenClock(1, 4);
  words[slot + LOW] = 7;
  words[slot + HIGH] = 7;
  words[slot + FRESH] = (clock.ceil(NOW_MS) + clock.token) | 0;
  new Float64Array(memory)[(slot >> 1) + LAST_MS_F64] = NOW_MS;
  words[slot + BUCKET] = words[slot + BUCKET]! | FROZEN;
  words[set + VERSION] = words[set + VERSION]! | 1;
  return memory;
}

export const check: StepModule['check'] = () => {
  const memory = halfInserted();
  chargeClients(memory, WAYS, [8]);
  const overflowed = new Int32Array(memory)[new TableIndex(0, { sets: 1, ways: WAYS }).set(0) + OVERFLOWED];
  const did =
    'A thread died in the middle of inserting client 7. Another thread charged client 8 of the same set.';
  expectThat(overflowed === 0, {
    did,
    expected: 'client 8 has a slot of its own',
    got: 'it went into the bucket for all clients without a slot',
    so: 'the set is unusable because nobody ends the insertion',
  });
  expectEqual(
    missingTokens(memory, WAYS).map(([client, tokens]) => `client ${client}: ${tokens}`),
    ['client 0: 0', 'client 7: 1', 'client 8: 1'],
    { did, so: 'the insertion of client 7 was not ended' },
  );
};

const FILE = 'src/limiter/lock-free-table.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'wait for the thread that began',
    file: FILE,
    find: '      this.publish(set, version);\n      //<\n',
    replace: '      //<\n',
  },
  {
    mistake: 'the pending insertion is thrown away',
    file: FILE,
    find: '      this.publish(set, version);\n      //<\n',
    replace: '      Atomics.compareExchange(i32, set + VERSION, version, version & ~WAY_MASK);\n      //<\n',
    refusedBy: '7.1.3',
  },
];
