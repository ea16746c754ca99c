import { halfSipHash } from '../../../src/base/siphash.ts';
import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { openBucketLimiter } from '../../../src/limiter/bucket-limiter.ts';
import { ADMITTED, BUSY, type LimiterConfig, type Verdict } from '../../../src/limiter/limiter.ts';
import { createLimiterMemory, openLimiter } from '../../../src/limiter/striped-lock.ts';
import { createTable, LimiterTable } from '../../../src/limiter/table.ts';

const CONFIG: LimiterConfig = {
  requestRate: 10,
  requestBurst: 5,
  metricRate: 0,
  metricBurst: 0,
  clients: 100,
};
const GEOMETRY = { sets: 8, ways: 4 };
const VERDICTS = ['admitted', 'limited', 'busy: the lock was held'];
const HELD = 1;

/** A key of a client in the set. */
function keyIn(table: LimiterTable, setIndex: number): Buffer {
  const hash = new Int32Array(2);
  for (let n = 0; ; n++) {
    const key = Buffer.from(`client ${n}`);
    halfSipHash(table.seed0, table.seed1, key, key.length, hash);
    if (table.setIndexOf(hash[0]!) === setIndex) return key;
  }
}

const inWords = (verdict: Verdict): string => VERDICTS[verdict]!;

export const check: StepModule['check'] = () => {
  const memory = createLimiterMemory(CONFIG, GEOMETRY);
  const table = new LimiterTable(memory);
  const limiter = openLimiter(memory, CONFIG);
  const [held, other] = [keyIn(table, 3), keyIn(table, 5)];
  const words = new Int32Array(memory);
  words[table.lockWord(3)] = HELD;
  expectEqual(inWords(limiter.chargeRequest(other, other.length, 0)), inWords(ADMITTED), {
    did: 'Another thread holds the lock of set 3. The test charged a client of set 5.',
    so: 'clients of different sets wait for each other',
  });
  expectEqual(inWords(limiter.chargeRequest(held, held.length, 0)), inWords(BUSY), {
    did: 'Another thread holds the lock of set 3. The test charged a client of set 3.',
    so: 'a set is not protected by its own lock',
  });
  const lines = new Set(Array.from({ length: GEOMETRY.sets }, (_, set) => table.lockWord(set) >> 4));
  expectEqual(lines.size, GEOMETRY.sets, {
    did: 'The test counted the cache lines of the locks of 8 sets.',
    so: 'two locks share a cache line',
  });
  const two = new LimiterTable(createTable(CONFIG, GEOMETRY, 2));
  const locks = Array.from({ length: GEOMETRY.sets }, (_, set) =>
    two.lockWord(set) === two.lockWord(0) ? 0 : 1,
  );
  expectEqual(locks, [0, 0, 0, 0, 1, 1, 1, 1], {
    did: 'The test created a table with 8 sets and 2 locks, and asked for the lock of each set.',
    so: 'set s belongs to lock ⌊s · LOCKS / SETS⌋',
  });
  const one = createTable(CONFIG, GEOMETRY, 1);
  const global = new LimiterTable(one);
  new Int32Array(one)[global.lockWord(0)] = HELD;
  const key = keyIn(global, 5);
  expectEqual(inWords(openBucketLimiter(one, CONFIG).chargeRequest(key, key.length, 0)), inWords(BUSY), {
    did: 'In a table with one lock, which is held, the test charged a client of set 5.',
  });
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'one lock for all',
    file: 'src/limiter/striped-lock.ts',
    find: 'createTable(config, geometry, geometry.sets)) satisfies',
    replace: 'createTable(config, geometry, 1)) satisfies',
  },
  {
    mistake: 'the number of locks is ignored',
    file: 'src/limiter/table.ts',
    find: 'this.set((setIndex * this.locksPerSet) | 0)',
    replace: 'this.set(setIndex)',
  },
];
