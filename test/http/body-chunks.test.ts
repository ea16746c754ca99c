import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { append, BodyAssembly, BodyChunks, CHUNK_BYTES } from '../../src/http/body-chunks.ts';

const MAX_BYTES = 5 * CHUNK_BYTES;

describe('chunks of bodies', () => {
  it('give back the bytes of every body, however its pieces fall', () => {
    const memory = new BodyChunks(3 * MAX_BYTES);
    const assembly = new BodyAssembly(MAX_BYTES);
    const bodies = fc.array(fc.array(fc.integer({ min: 0, max: 2 * CHUNK_BYTES }), { maxLength: 4 }), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(bodies, (pieces) => {
        const held = pieces.map(() => ({ chunks: [] as Uint8Array[], bytes: Buffer.alloc(0) }));
        // The bodies arrive in turns, so that their chunks interleave.
        for (let turn = 0; turn < 4; turn++) {
          for (const [index, body] of held.entries()) {
            const piece = Buffer.alloc(pieces[index]![turn] ?? 0, 1 + turn + 7 * index);
            const length = body.bytes.length + piece.length;
            if (length > MAX_BYTES) continue;
            assert.ok(memory.extend(body.chunks, length));
            append(body.chunks, body.bytes.length, piece);
            body.bytes = Buffer.concat([body.bytes, piece]);
          }
        }
        for (const { chunks, bytes } of held) {
          assert.equal(chunks.length, Math.ceil(bytes.length / CHUNK_BYTES));
          assert.ok(bytes.equals(assembly.contiguous(chunks, bytes.length)));
          memory.release(chunks);
        }
        assert.equal(memory.usedBytes, 0);
      }),
    );
  });

  it('are refused over the budget, without a change', () => {
    const memory = new BodyChunks(3 * CHUNK_BYTES - 1);
    const [first, second]: Uint8Array[][] = [[], []];
    assert.ok(memory.extend(first!, CHUNK_BYTES + 1));
    assert.ok(!memory.extend(second!, CHUNK_BYTES + 1));
    assert.equal(second!.length, 0);
    assert.ok(memory.extend(second!, CHUNK_BYTES));
    assert.equal(memory.usedBytes, 3 * CHUNK_BYTES);
    assert.ok(!memory.extend(first!, 2 * CHUNK_BYTES + 1));
    memory.release(second!);
    assert.ok(memory.extend(first!, 2 * CHUNK_BYTES + 1));
  });

  it('are the same after a release, whatever sizes the bodies have', () => {
    const memory = new BodyChunks(MAX_BYTES);
    const seen = new Set<Uint8Array>();
    for (let round = 0; round < 100; round++) {
      const chunks: Uint8Array[] = [];
      assert.ok(memory.extend(chunks, 1 + ((round * 31_337) % MAX_BYTES)));
      for (const chunk of chunks) seen.add(chunk);
      memory.release(chunks);
    }
    assert.equal(seen.size, 5);
  });

  it('hold one piece even if the budget is smaller than a chunk', () => {
    assert.ok(new BodyChunks(1).extend([], CHUNK_BYTES));
  });
});
