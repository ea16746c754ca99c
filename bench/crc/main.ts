/**
 * The CRC of the seals: by the addon if it was built, zlib's, which is native, and the same polynomial in JavaScript, over
 * memory that threads share, as the journal is.
 */
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { crc32 } from '../../src/base/crc32.ts';
import { compare } from '../harness/compare.ts';
import { digestOf } from '../workloads.ts';

const POLYNOMIAL = 0xedb88320;
const SLICES = 8;
const SEED = 20_261;
const KIB = 1_024;

/** Tables of the slice-by-8 method: Kounavis and Berry, "A Systematic Approach to Building High Performance Software-based CRC Generators", 2005. */
const tables = Array.from({ length: SLICES }, () => new Int32Array(256));
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  tables[0]![byte] = crc;
}
for (let slice = 1; slice < SLICES; slice++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = tables[slice - 1]![byte]!;
    tables[slice]![byte] = (before >>> 8) ^ tables[0]![before & 0xff]!;
  }
}
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  ...(readonly [Int32Array, Int32Array, Int32Array, Int32Array]),
  ...(readonly [Int32Array, Int32Array, Int32Array, Int32Array]),
];

function tableCrc(bytes: Uint8Array): number {
  let crc = -1;
  for (let at = 0; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}

function sliceBy8Crc(bytes: Uint8Array): number {
  let crc = -1;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    crc =
      t7[low & 0xff]! ^
      t6[(low >>> 8) & 0xff]! ^
      t5[(low >>> 16) & 0xff]! ^
      t4[low >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}

function sharedBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(length));
  let state = SEED;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

const IMPLEMENTATIONS: readonly (readonly [string, (bytes: Uint8Array) => number])[] = [
  ['table', tableCrc],
  ['slice-by-8', sliceBy8Crc],
  ['zlib', (bytes) => zlib.crc32(bytes)],
  ['addon, or zlib without it', (bytes) => crc32(bytes)],
];

for (const size of [256, 4 * KIB, 64 * KIB, 1_024 * KIB]) {
  const bytes = sharedBytes(size);
  const calls = Math.max(1, Math.floor((64 * KIB) / size));
  await compare({
    title: `CRC-32 of ${size < KIB ? `${size} B` : `${size / KIB} KiB`}`,
    unit: 'KiB',
    baseline: 'table',
    workload: { seed: SEED, digest: digestOf(bytes) },
    cases: IMPLEMENTATIONS.map(([name, crc]) => ({
      name,
      perRun: (calls * size) / KIB,
      verify: () => {
        // The check value of this CRC in the catalogue of parametrised CRC algorithms.
        assert.equal(crc(Buffer.from('123456789')), 0xcbf43926);
        for (let length = 0; length < 70; length++) {
          const part = bytes.subarray(0, length);
          assert.equal(crc(part), zlib.crc32(Buffer.from(part)));
        }
      },
      run: () => {
        for (let call = 0; call < calls; call++) crc(bytes);
      },
    })),
  });
}
