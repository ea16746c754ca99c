import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { seededRandom } from '../../bench/workloads.ts';
import { combineCrc, crcWithout } from '../../src/base/crc-combine.ts';

test('the combined CRC is that of the joined pieces, at every length', () => {
  const random = seededRandom(20_271);
  const bytes = randomBytes(1 << 20);
  const check = (cut: number, end: number) => {
    const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut, end)];
    const combined = combineCrc(zlib.crc32(first), zlib.crc32(second), second.length);
    assert.equal(combined, zlib.crc32(bytes.subarray(0, end)), `${cut} + ${second.length} bytes`);
  };
  for (let cut = 0; cut < 300; cut++) for (const length of [0, 1, 2, 3, 255, 256]) check(cut, cut + length);
  for (let call = 0; call < 2_000; call++) {
    const cut = Math.floor(random() * bytes.length);
    check(cut, cut + Math.floor(random() * (bytes.length - cut)));
  }
});

test('zeros behind a piece change its CRC, and pieces that have the CRC 0 are no special case', () => {
  const zeros = Buffer.alloc(100);
  assert.equal(combineCrc(zlib.crc32(zeros), zlib.crc32(zeros), 100), zlib.crc32(Buffer.alloc(200)));
  // These four bytes have the CRC 0.
  const none = Buffer.from([0x9d, 0x0a, 0xd9, 0x6d]);
  assert.equal(zlib.crc32(none), 0);
  assert.equal(combineCrc(0, zlib.crc32(zeros), 100), zlib.crc32(Buffer.concat([none, zeros])));
});

test('the CRC of a piece without its end is that of the rest, at every length', () => {
  const bytes = randomBytes(300);
  for (let length = 0; length <= bytes.length; length++) {
    for (let dropped = 0; dropped <= Math.min(length, 9); dropped++) {
      const whole = bytes.subarray(0, length);
      const rest = bytes.subarray(0, length - dropped);
      const crc = crcWithout(zlib.crc32(whole), whole.subarray(rest.length));
      assert.equal(crc, zlib.crc32(rest), `${length} bytes without ${dropped}`);
    }
  }
});
