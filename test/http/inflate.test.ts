import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { MIB } from '../../src/base/units.ts';
import { type Inflated, inflate } from '../../src/http/inflate.ts';

const PIECE_BYTES = 64 << 10;
const output = new Uint8Array(2 * MIB);

function inflated(compressed: Uint8Array): Promise<Inflated> {
  return new Promise((resolve) => inflate(compressed, output, resolve));
}

/** Bytes of which no two neighbours are alike. */
function bytesOf(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, k) => (k * 31 + (k >> 8)) & 0xff));
}

describe('decompression of one body', () => {
  for (const length of [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * MIB - 1, 2 * MIB]) {
    it(`gives back ${length} bytes`, async () => {
      const body = bytesOf(length);
      const result = await inflated(gzipSync(body));
      assert.ok(result instanceof Uint8Array && body.equals(result));
    });
  }

  it('gives back all members of a stream', async () => {
    const body = bytesOf(MIB);
    const members = Array.from({ length: 16 }, (_, k) => gzipSync(body.subarray(k << 16, (k + 1) << 16)));
    const result = await inflated(Buffer.concat(members));
    assert.ok(result instanceof Uint8Array && body.equals(result));
  });

  it('tells broken bodies from bodies that are too large', async () => {
    const compressed = gzipSync(bytesOf(MIB));
    assert.equal(await inflated(compressed.subarray(0, -1)), 'broken');
    assert.equal(await inflated(compressed.fill(0x55, 500, 600)), 'broken');
    assert.equal(await inflated(Buffer.from('{"metrics":[]}')), 'broken');
    assert.equal(await inflated(gzipSync(bytesOf(2 * MIB + 1))), 'too_large');
    assert.equal(await inflated(gzipSync(Buffer.alloc(64 * MIB))), 'too_large');
  });

  it('leaves no memory to the garbage collector', async () => {
    const kinds = [gzipSync(bytesOf(MIB)), gzipSync(bytesOf(1_000)), gzipSync(bytesOf(3 * MIB))];
    kinds.push(kinds[0]!.subarray(0, -1));
    await inflated(kinds[0]!);
    const before = process.memoryUsage().arrayBuffers;
    let highest = 0;
    for (let round = 0; round < 10; round++) {
      for (const compressed of kinds) await inflated(compressed);
      highest = Math.max(highest, process.memoryUsage().arrayBuffers);
    }
    // In pieces and put together, these bodies have 60 MiB. zlib may begin a last piece that stays empty.
    assert.ok(highest - before <= 10 * kinds.length * PIECE_BYTES, `${highest - before} bytes`);
  });
});
