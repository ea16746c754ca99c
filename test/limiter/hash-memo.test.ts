import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../bench/workloads.ts';
import { halfSipHash } from '../../src/base/siphash.ts';
import { HashMemo } from '../../src/limiter/hash-memo.ts';

test('the memo gives the hash of every key, whatever it has seen before', () => {
  const random = seededRandom(20_270);
  const memo = new HashMemo(17, 42);
  const out = new Int32Array(2);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let call = 0; call < 200_000; call++) {
    // Of some 30,000 addresses, more than there are slots, and keys of other lengths that begin alike.
    const bytes = below(10) === 0 ? below(17) : 4;
    const key = Uint8Array.from({ length: 16 }, (_, at) => (at < 2 ? below(173) : at < 4 ? 7 : 0));
    memo.identify(key, bytes);
    halfSipHash(17, 42, key, bytes, out);
    assert.equal(memo.low, out[0]);
    assert.equal(memo.high, out[1]);
  }
});

test('the address 0.0.0.0 is no empty slot', () => {
  const memo = new HashMemo(1, 2);
  const out = new Int32Array(2);
  halfSipHash(1, 2, new Uint8Array(4), 4, out);
  for (let call = 0; call < 2; call++) {
    memo.identify(new Uint8Array(4), 4);
    assert.deepEqual([memo.low, memo.high], [...out]);
  }
});
