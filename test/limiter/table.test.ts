import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { waysFor } from '../../src/limiter/geometry.ts';
import { createTable, LimiterTable } from '../../src/limiter/table.ts';

const CONFIG = { requestRate: 10, requestBurst: 3, metricRate: 0, metricBurst: 0, clients: 100 };

describe('the ways of a set', () => {
  it('give the table room for all clients', () => {
    assert.equal(waysFor(65_536, 10_007), 16);
    for (const clients of [1, 10, 1000, 65_536, 1_000_000]) {
      assert.ok(waysFor(clients, 10_007) * 10_007 >= clients, `${clients}`);
    }
  });
});

describe('the locks of a table', () => {
  for (const locks of [1, 2, 64, 1024, 10_006, 10_007]) {
    it(`guard neighbouring sets and number ${locks} if ${locks} are requested`, () => {
      const sets = 10_007;
      const table = new LimiterTable(createTable(CONFIG, { sets, ways: 1 }, locks));
      const groups = new Map<number, number>();
      let last = -1;
      for (let setIndex = 0; setIndex < sets; setIndex++) {
        const word = table.lockWord(setIndex);
        assert.ok(word >= last, `the lock of set ${setIndex} stands before that of the set before it`);
        last = word;
        groups.set(word, (groups.get(word) ?? 0) + 1);
      }
      assert.equal(groups.size, locks);
      const sizes = [...groups.values()];
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, 'groups are alike in size');
      assert.deepEqual(
        [...groups.keys()],
        Array.from({ length: locks }, (_, l) => 2 * table.set(l)),
      );
    });
  }

  it('number at least one and at most the sets', () => {
    assert.throws(() => createTable(CONFIG, { sets: 4, ways: 1 }, 0), /at least one set/);
    assert.throws(() => createTable(CONFIG, { sets: 4, ways: 1 }, 5), /at least one set/);
  });
});
