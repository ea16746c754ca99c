import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { CommitBuffer } from '../../src/storage/commit-buffer.ts';
import { line } from '../support/writer-rig.ts';

/** Lines of at least `bytes` together. */
function linesOf(first: number, bytes: number): { text: Buffer; lines: number } {
  let text = '';
  let lines = 0;
  while (text.length < bytes) text += line(first + lines++);
  return { text: Buffer.from(text), lines };
}

function commitOf(runs: readonly { text: Buffer; lines: number }[], withCrc: boolean): string {
  const buffer = new CommitBuffer();
  for (const { text, lines } of runs) {
    if (withCrc) buffer.add(text, 0, text.length, lines, zlib.crc32(text));
    else buffer.add(text, 0, text.length, lines);
  }
  buffer.seal(7, 'mark');
  assert.equal(
    buffer.bytes,
    buffer.pieces.reduce((sum, { length }) => sum + length, 0),
  );
  return Buffer.concat(buffer.pieces).toString('latin1');
}

test('a commit has the same seal whether the CRCs of its runs are known or not', () => {
  for (const sizes of [[1], [100_000], [100_000, 1], [1, 100_000], [4_000, 4_200, 50, 70_000, 5_000]]) {
    const runs = sizes.map((bytes, k) => linesOf(1 + 10_000 * k, bytes));
    assert.equal(commitOf(runs, true), commitOf(runs, false), String(sizes));
  }
});

test('runs that touch in a ring are one piece, whose CRC is computed', () => {
  const { text, lines } = linesOf(1, 20_000);
  const border = text.indexOf('\n', 9_000) + 1;
  const buffer = new CommitBuffer();
  const first = text.subarray(0, border);
  const firstLines = first.toString().split('\n').length - 1;
  buffer.add(text, 0, border, firstLines, zlib.crc32(first));
  buffer.add(text, border, text.length - border, lines - firstLines, zlib.crc32(text.subarray(border)));
  buffer.add(text, 0, border, firstLines);
  buffer.seal(7, 'mark');
  assert.equal(buffer.pieces.length, 3);
  const expected = commitOf(
    [
      { text, lines },
      { text: first, lines: firstLines },
    ],
    false,
  );
  assert.equal(Buffer.concat(buffer.pieces).toString('latin1'), expected);
});
