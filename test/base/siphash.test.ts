import assert from 'node:assert/strict';
import { test } from 'node:test';
import { halfSipHash } from '../../src/base/siphash.ts';

/**
 * HalfSipHash-2-4 with 64-bit results, as bytes in hexadecimal, from vectors.h of the authors' reference code:
 * the k-th is the hash of the bytes 00 01 … (k-1) under the key 00 01 … 07.
 */
const REFERENCE_VECTORS = `
  218d1f59b9b83cc8 be552412f8387315 064f39ef7c50eb57 ce0f1a45f7060679 d5e78a175be52ea1 cb9d7c3f2f3db580
  ce3e91358aa2bc25 ff202728b07bc684 edfee820bce4858c 5b51cccc13888307 95b0469f06a6f2ee ae26333994ddcd48
  7bc71f9faef5c799 5a2352d75a0c3744 3bb1a870eae8e658 217d0bcb4e81c902 7336aad25f7bf3b5 37adc0641c4c4f6a
  c9b2db2b9a3e42f9 f910e48020ab363c 1bf52b0a6feea7db 00741dc269e8b3ef e20103fa1ba776ef 4c2210e54b681d73
  70741045ae3fa6f1 0c86403739714038 0d899ed8112923f0 226bf5fab81ee1b8 2d925ffb1e0016b5 361958d52cee10f1
  291aaf864898179d 863c7f155c34117c 28709d46d811626c 248477681d28f89c 8324e4d7528f9830 f9efd4e13aea6bd8
  86d67a40ec4276dc 3f6292eccca97e35 cbd92ee724d42109 368df6808d403d79
`
  .trim()
  .split(/\s+/);

function hashHex(bytes: Uint8Array, length: number, key0 = 0x03020100, key1 = 0x07060504): string {
  const out = new Int32Array(2);
  halfSipHash(key0, key1, bytes, length, out);
  return Buffer.from(out.buffer).toString('hex');
}

test('the hash equals the reference vectors at every length', () => {
  const counting = Uint8Array.from({ length: 64 }, (_, at) => at);
  REFERENCE_VECTORS.forEach((expected, length) => {
    assert.equal(hashHex(counting, length), expected, `length ${length}`);
  });
});

test('bytes beyond the length do not matter, and the length does', () => {
  const zeros = new Uint8Array(16);
  const dirty = new Uint8Array(16).fill(0xff, 5);
  assert.equal(hashHex(zeros, 5), hashHex(dirty, 5));
  const byLength = new Set(Array.from({ length: 16 }, (_, length) => hashHex(zeros, length)));
  assert.equal(byLength.size, 16);
});

test('the seed changes the hash', () => {
  const key = Buffer.from('10.0.0.1');
  assert.notEqual(hashHex(key, key.length, 1, 2), hashHex(key, key.length, 1, 3));
  assert.notEqual(hashHex(key, key.length, 1, 2), hashHex(key, key.length, 0, 2));
});
