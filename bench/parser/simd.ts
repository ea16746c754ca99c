/**
 * The parsers, loaded in order: the SIMD parser opens the buffers in its own memory, so it loads first, and only in
 * processes that run it.
 */
import assert from 'node:assert/strict';
import type { CreateParser } from '../../src/parser/parser.ts';
import { mayRun } from '../harness/compare.ts';

/** @param simdCase name of the only case that runs the SIMD parser */
export async function loadParsers(simdCase: string) {
  const simd = mayRun(simdCase) ? await import('../../src/parser/simd/simd.ts') : null;
  const { createParser } = await import('../../src/parser/single-pass/single-pass.ts');
  const simdParser = (): CreateParser => {
    assert.equal(simd?.unavailable, null);
    return simd!.createParser;
  };
  return { singlePass: () => createParser, simd: simdParser };
}
