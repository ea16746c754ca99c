import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';
import { crc32 } from '../../src/base/crc32.ts';

const ADDON = fileURLToPath(new URL('../../native/crc32.node', import.meta.url));

test('the CRC is that of zlib, at every length and alignment, behind any other bytes', () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(70_000));
  bytes.set(randomBytes(bytes.length));
  const check = (from: number, to: number, before: number) => {
    const part = bytes.subarray(from, to);
    assert.equal(crc32(part, before), zlib.crc32(part, before), `bytes ${from} to ${to} behind ${before}`);
  };
  for (let length = 0; length < 1_200; length++) {
    for (const from of [0, 1, 63]) check(from, from + length, length % 2 === 0 ? 0 : 0x9abc_def0);
  }
  check(3, bytes.length, 0xffff_ffff);
  assert.equal(crc32(bytes), zlib.crc32(bytes));
});

test('the addon refuses what is not bytes', { skip: !fs.existsSync(ADDON) && 'it was not built' }, () => {
  const addon = createRequire(import.meta.url)(ADDON) as { crc32(...values: unknown[]): number };
  for (const values of [
    [],
    ['text', 0],
    [Uint8Array.of(1)],
    [new Float64Array(2), 0],
    [Uint8Array.of(1), 'x'],
  ]) {
    assert.throws(() => addon.crc32(...values), /crc32\(bytes: Uint8Array, value\)/);
  }
});
