import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../bench/workloads.ts';
import { ClientKey } from '../../src/base/client-key.ts';
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

test('a key that its owner keeps has the hash of its bytes, under whichever secret key', () => {
  const out = new Int32Array(2);
  for (const length of [1, 4, 12, 16]) {
    const key = new ClientKey(Buffer.alloc(length, 7));
    for (const [key0, key1] of [
      [17, 42],
      [17, 43],
      [17, 42],
    ] as const) {
      const memo = new HashMemo(key0, key1);
      // The second time from the key; between the two, the memo sees other clients.
      for (let call = 0; call < 2; call++) {
        memo.identify(Buffer.from('another client'), 14);
        memo.identify(key, length);
        halfSipHash(key0, key1, key, length, out);
        assert.deepEqual([memo.low, memo.high], [...out]);
      }
    }
  }
});

test('a part of a kept key has a hash of its own', () => {
  const memo = new HashMemo(17, 42);
  const out = new Int32Array(2);
  const key = new ClientKey(Buffer.alloc(16, 7));
  memo.identify(key, 16);
  for (const part of [key.subarray(8), key.slice(0, 8)]) {
    memo.identify(part, 8);
    halfSipHash(17, 42, part, 8, out);
    assert.deepEqual([memo.low, memo.high], [...out]);
  }
  memo.identify(key, 8);
  assert.deepEqual([memo.low, memo.high], [...out]);
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
