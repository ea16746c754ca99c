/** Cases over parsers, each verified by the lines that it makes of a body: shared by three benchmarks. */
import assert from 'node:assert/strict';
import { encodedBodyBound } from '../../src/encoder/line-encoder.ts';
import {
  BATCH_CEILING,
  type CreateParser,
  FORMAT_JSON,
  PARSED,
  type Parser,
} from '../../src/parser/parser.ts';
import type { BenchCase } from '../harness/compare.ts';
import { builtinLines } from './baseline.ts';

export const RECEIPT_MS = 1_760_000_000_000;
const LIMITS = { maxBodyBytes: 8 << 20, maxBatch: BATCH_CEILING };

const out = Buffer.from(new SharedArrayBuffer(8 << 20));
const outView = new DataView(out.buffer, out.byteOffset, out.byteLength);
/** The parser under test; a process runs one case. */
let parser: Parser;

/** Parses a copy of the body, as the pipeline does. */
export function parse(body: Buffer): number {
  parser.input.set(body, 0);
  return parser.parse(body.length, FORMAT_JSON, RECEIPT_MS, 0);
}

export function parseToLines(body: Buffer): number {
  parse(body);
  return parser.encode(out, outView, 0);
}

/** As `JSON.parse`, a walk and `JSON.stringify` make them. */
export const linesOf = (body: Buffer): string => out.toString('utf8', 0, builtinLines(body, out, RECEIPT_MS));

/** Opens the parser and checks the lines that it makes. */
export function verifiedBy(createParser: () => CreateParser, body: Buffer): () => void {
  return () => {
    parser = createParser()(LIMITS);
    const expected = linesOf(body);
    assert.equal(parse(body), PARSED);
    const end = parser.encode(out, outView, 0);
    assert.ok(end <= encodedBodyBound(body.length, LIMITS.maxBatch));
    assert.equal(out.toString('utf8', 0, end), expected);
  };
}

export const toBuiltinLines = (body: Buffer): number => builtinLines(body, out, RECEIPT_MS);

/** Calls `handle` several times a run, so that the timer does not matter. Each case has a call site of its own. */
export function repeated(
  calls: number,
  units: number,
  handle: () => unknown,
): Pick<BenchCase, 'run' | 'perRun'> {
  const run = (): void => {
    for (let call = 0; call < calls; call++) handle();
  };
  return { run, perRun: calls * units };
}
