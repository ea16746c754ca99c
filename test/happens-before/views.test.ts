/** Accesses through views of different types and sizes: they race if they share a byte. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Body, checkThreads } from './litmus.ts';

describe('accesses through different views', () => {
  const aliases: Readonly<Record<string, readonly [Body, Body, boolean]>> = {
    'a byte and the word around it': [
      ({ u8 }) => {
        u8[2] = 1;
      },
      ({ i32 }) => i32[0],
      true,
    ],
    'two bytes of one word': [
      ({ u8 }) => {
        u8[2] = 1;
      },
      ({ u8 }) => u8[3],
      false,
    ],
    'a half word and a byte in it': [
      ({ i16 }) => {
        i16[1] = 1;
      },
      ({ u8 }) => u8[3],
      true,
    ],
    'a half word and a byte beside it': [
      ({ i16 }) => {
        i16[1] = 1;
      },
      ({ u8 }) => u8[1],
      false,
    ],
    'a double and its second half': [
      ({ f64 }) => {
        f64[0] = 1;
      },
      ({ u32 }) => u32[1],
      true,
    ],
    'a double and the word behind it': [
      ({ f64 }) => {
        f64[0] = 1;
      },
      ({ u32 }) => u32[2],
      false,
    ],
    'a BigInt and a byte in it': [
      ({ i64 }) => {
        i64[0] = 1n;
      },
      ({ u8 }) => u8[7],
      true,
    ],
    'a DataView and a word': [({ view }) => view.setUint16(6, 1), ({ i32 }) => i32[1], true],
    'a DataView and the word before': [({ view }) => view.setUint16(6, 1), ({ i32 }) => i32[0], false],
    'a text in a buffer and a byte': [({ buffer }) => buffer.write('abc', 1), ({ u8 }) => u8[3], true],
    'a text in a buffer and the byte behind': [
      ({ buffer }) => buffer.write('abc', 1),
      ({ u8 }) => u8[4],
      false,
    ],
    'a text read and a byte': [
      ({ buffer }) => buffer.toString('latin1', 2, 5),
      ({ u8 }) => {
        u8[4] = 1;
      },
      true,
    ],
    'a filled range and a byte': [({ u8 }) => u8.fill(7, 3, 9), ({ u8 }) => u8[8], true],
    'a filled range and the byte behind': [({ u8 }) => u8.fill(7, 3, 9), ({ u8 }) => u8[9], false],
    'a range set and a byte': [({ u8 }) => u8.set([1, 2], 5), ({ u8 }) => u8[6], true],
    'a part of a view and a word': [({ u8 }) => u8.subarray(4, 8).fill(1), ({ i32 }) => i32[1], true],
    'a copied part and a byte': [
      ({ u8 }) => u8.slice(4, 8),
      ({ u8 }) => {
        u8[7] = 1;
      },
      true,
    ],
    'atomics of one size': [
      ({ atomics, i32 }) => atomics.store(i32, 0, 1),
      ({ atomics, u32 }) => atomics.load(u32, 0),
      false,
    ],
    'atomics of different sizes': [
      ({ atomics, i32 }) => atomics.store(i32, 0, 1),
      ({ atomics, i16 }) => atomics.load(i16, 0),
      true,
    ],
    'two plain loads': [({ i32 }) => i32[0], ({ i32 }) => i32[0], false],
  };
  for (const [name, [left, right, race]] of Object.entries(aliases)) {
    it(`${race ? 'race' : 'do not race'}: ${name}`, async () => {
      const { races, failures } = await checkThreads({ left, right }, { layout: [] });
      assert.deepEqual(failures, []);
      assert.equal(races.length, race ? 1 : 0);
    });
  }
});
