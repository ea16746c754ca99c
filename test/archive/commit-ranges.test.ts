/** Sets of commit numbers against plain sets. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type CommitRange,
  covers,
  includes,
  lacking,
  sizeOf,
  unite,
} from '../../src/archive/commit-ranges.ts';

const TOP = 40;
const range = fc
  .tuple(fc.integer({ min: 1, max: TOP }), fc.integer({ min: 0, max: 8 }))
  .map(([first, more]): CommitRange => [first, first + more]);
const ranges = fc.array(range, { maxLength: 8 });

const numbers = (set: readonly CommitRange[]): Set<number> =>
  new Set(set.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, k) => first + k)));

describe('commit ranges', () => {
  it('unite to ascending ranges that do not touch', () => {
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        const united = unite(a, b);
        assert.deepEqual(numbers(united), new Set([...numbers([...a, ...b])].sort((x, y) => x - y)));
        for (const [index, [first]] of united.entries()) {
          if (index > 0) assert.ok(first > united[index - 1]![1] + 1);
        }
        assert.equal(sizeOf(united), numbers(united).size);
      }),
    );
  });

  it('lack what plain sets lack', () => {
    fc.assert(
      fc.property(ranges, range, (some, wanted) => {
        const set = unite(some);
        const held = numbers(set);
        const missing = [...numbers([wanted])].filter((commit) => !held.has(commit));
        assert.deepEqual([...numbers(lacking(set, wanted))], missing);
        assert.equal(covers(set, wanted), missing.length === 0);
        for (let commit = 0; commit <= TOP + 10; commit++) {
          assert.equal(includes(set, commit), held.has(commit));
        }
      }),
    );
  });
});
