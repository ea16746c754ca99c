import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  HASH_WORDS,
  STAMP_BYTES,
  STAMP_MARKER,
  StampReader,
  stripStamps,
  writeStamp,
} from '../../src/encoder/request-stamp.ts';

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const stampOf = fc.record({
  hash: fc.array(word, { minLength: HASH_WORDS, maxLength: HASH_WORDS }),
  crc: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  atMs: fc.integer({ min: 1e12, max: 9_999_999_999_999 }),
});

type Stamp = { hash: number[]; crc: number; atMs: number };

function stamped(text: string, { hash, crc, atMs }: Stamp): Buffer {
  const line = Buffer.from(text);
  const bytes = Buffer.concat([line, Buffer.alloc(STAMP_BYTES)]);
  const end = writeStamp(bytes, line.length, Int32Array.from(hash), crc, atMs);
  assert.equal(end, bytes.length);
  return bytes;
}

test('a stamp reads back as it was written, and its line stays one JSON object', () => {
  fc.assert(
    fc.property(stampOf, (stamp) => {
      const text = stamped('{"name":"a","value":1}\n', stamp);
      const reader = new StampReader();
      assert.ok(reader.read(text, text.indexOf(STAMP_MARKER)));
      assert.deepEqual([...reader.hash], stamp.hash);
      assert.deepEqual([reader.crc, reader.atMs], [stamp.crc, stamp.atMs]);
      const line = JSON.parse(text.toString()) as { name: string; request: { at: number } };
      assert.equal(line.name, 'a');
      assert.equal(line.request.at, stamp.atMs);
    }),
  );
});

test('a stamp that is cut or damaged in any byte is not read as another', () => {
  const stamp = { hash: [1, -2, 3, -4], crc: 5, atMs: 1_700_000_000_000 };
  const whole = stamped('{"name":"a"}\n', stamp);
  const at = whole.indexOf(STAMP_MARKER);
  const reader = new StampReader();
  for (let cut = at; cut < whole.length; cut++) assert.ok(!reader.read(whole.subarray(0, cut), at));
  for (let k = at + STAMP_MARKER.length; k < whole.length - 3; k++) {
    const damaged = Buffer.from(whole);
    damaged[k] = 0x7a;
    assert.ok(!reader.read(damaged, at), `byte ${k - at}`);
  }
});

test('stripping leaves the lines as they were before', () => {
  const lines = fc.array(fc.record({ isStamped: fc.boolean(), stamp: stampOf, name: fc.string() }), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(lines, (all) => {
      const plain = all.map(({ name }) => `${JSON.stringify({ name, tags: { request: name } })}\n`);
      const given = all.map(({ isStamped, stamp }, k) =>
        isStamped ? stamped(plain[k]!, stamp) : Buffer.from(plain[k]!),
      );
      assert.equal(stripStamps(Buffer.concat(given)).toString(), plain.join(''));
    }),
  );
});
