/** The two ways into a file. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FaultFileOps, systemError } from '../../load-test/faults/fault-file-ops.ts';
import { CommitBuffer } from '../../src/storage/commit-buffer.ts';
import { nodeFileOps, PAGE_BYTES } from '../../src/storage/file-ops.ts';
import { openNew, pageAlignedBytes, Segment } from '../../src/storage/segment.ts';
import { temporaryDirectory } from '../support/writer-rig.ts';

/** Small deterministic generator, so that a failure can be made again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test('buffered and direct writes into one file stay coherent, whatever their sizes, with cuts in between', (t) => {
  const dataDir = temporaryDirectory();
  const context = {
    ops: nodeFileOps,
    staging: pageAlignedBytes(256 << 10),
    directBytes: 8_192,
    counters: new Float64Array(64),
    directRefused: (error: unknown) => t.diagnostic(String(error)),
  };
  const seed = Date.now() >>> 0;
  t.diagnostic(`seed ${seed}`);
  const next = random(seed);
  const segment = new Segment(context, 1, openNew(nodeFileOps, join(dataDir, 'metrics-00000001.ndjson')), 0);
  const reader = fs.openSync(segment.path, 'r');
  let expected = Buffer.alloc(0);
  const batch = new CommitBuffer();
  for (let commit = 1; commit <= 400; commit++) {
    // Mostly below and around pages, now and then several stagings long.
    const bytes = Math.ceil(
      4 + (next() < 0.1 ? next() * 900_000 : next() < 0.5 ? next() * 40_000 : next() * 9_000),
    );
    const data = Buffer.alloc(bytes, 0x61 + (commit % 26));
    data.write('}\n', bytes - 2);
    const half = Math.floor(next() * (bytes - 2));
    batch.clear();
    if (half > 0) batch.add(data, 0, half, 1);
    batch.add(Buffer.from(data), half, bytes - half, 1);
    batch.seal(commit);
    const pieces = Buffer.concat(batch.pieces);
    if (next() < 0.2) {
      // A write that fails half way: the file must be as before, for readers through the page cache too.
      const failing = { ...context, ops: failingOnce(next() * pieces.length) };
      Object.assign(segment, { context: failing });
      assert.throws(() => segment.append(batch), /injected/);
      Object.assign(segment, { context });
    } else {
      segment.append(batch);
      expected = Buffer.concat([expected, pieces]);
    }
    assert.equal(segment.bytes, expected.length);
    assert.equal(fs.fstatSync(reader).size, expected.length);
    const from = Math.floor(next() * expected.length);
    const part = Buffer.alloc(Math.min(200_000, expected.length - from));
    fs.readSync(reader, part, 0, part.length, from);
    assert.ok(
      part.equals(expected.subarray(from, from + part.length)),
      `seed ${seed}, commit ${commit}, from ${from}`,
    );
  }
  segment.sync();
  segment.close();
  fs.closeSync(reader);
  assert.ok(fs.readFileSync(segment.path).equals(expected), `seed ${seed}`);
  fs.rmSync(dataDir, { recursive: true });
});

/** Writes at most `most` bytes, whole pages where it may be a direct write, then fails. */
function failingOnce(most: number): FaultFileOps {
  const ops = new FaultFileOps();
  let left = Math.floor(most);
  const accept = (length: number, unit: number): number => {
    const accepted = left < length ? left - (left % unit) : length;
    if (accepted === 0) throw systemError('ENOSPC', 'write');
    left -= accepted;
    return accepted;
  };
  ops.write = (fd, buffer, offset, length, position) =>
    nodeFileOps.write(fd, buffer, offset, accept(length, PAGE_BYTES), position);
  ops.writev = (fd, buffers, position) => {
    const bytes = Buffer.concat(buffers.map((part) => Buffer.from(part)));
    return nodeFileOps.write(fd, bytes, 0, accept(bytes.length, 1), position);
  };
  return ops;
}
