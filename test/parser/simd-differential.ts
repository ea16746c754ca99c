/**
 * Compares the SIMD parser with the single pass on the same bodies. Both share the thread's buffers, so each judges a
 * whole list of bodies before the other.
 */
import assert from 'node:assert/strict';
import {
  type BodyFormat,
  type CreateParser,
  FORMAT_JSON,
  FORMAT_NDJSON,
  PARSED,
} from '../../src/parser/parser.ts';
// First, because it opens the buffers that both share.
import { createParser as createSimd } from '../../src/parser/simd/simd.ts';
import { createParser as createSinglePass } from '../../src/parser/single-pass/single-pass.ts';
import { mutate, randomDocument, randomFrom, randomLines } from './bodies.ts';
import { ordinaryBody } from './ordinary.ts';

export interface Case {
  readonly body: Buffer;
  readonly format: BodyFormat;
  /** Bytes behind the body, which no parser may notice. */
  readonly poison?: Buffer;
}

const MAX_BODY_BYTES = 1 << 20;
const RECEIPT_MS = 1_234_567_890_123;
const MUTANTS = 4;
const LIST = 500;
const out = Buffer.from(new SharedArrayBuffer(4 << 20));
const outView = new DataView(out.buffer, out.byteOffset, out.byteLength);
const counts = new Int32Array(4);

/** All observable results of a parser for each case, as text. */
function resultsOf(createParser: CreateParser, maxBatch: number, cases: readonly Case[]): string[] {
  const parser = createParser({ maxBodyBytes: MAX_BODY_BYTES, maxBatch });
  return cases.map(({ body, format, poison }, at) => {
    parser.input.set(body, 0);
    if (poison !== undefined) parser.input.set(poison, body.length);
    const offset = at & 15;
    const outcome = parser.parse(body.length, format, RECEIPT_MS, offset);
    const { seen, accepted, rejected } = parser;
    if (outcome !== PARSED) return JSON.stringify([outcome, accepted, parser.failure()]);
    parser.countTypes(counts);
    const lines = out.toString('latin1', offset, parser.encode(out, outView, offset));
    return `${JSON.stringify([seen, accepted, rejected, [...counts], parser.errors()])}\n${lines}`;
  });
}

/** Throws unless both parsers return the same for every case. */
export function assertSame(cases: readonly Case[], context: string, maxBatch = 1000): void {
  const expected = resultsOf(createSinglePass, maxBatch, cases);
  const actual = resultsOf(createSimd, maxBatch, cases);
  for (const [at, { body, format }] of cases.entries()) {
    if (actual[at] === expected[at]) continue;
    assert.equal(
      actual[at],
      expected[at],
      `${context}, format ${format}: ${JSON.stringify(body.toString('latin1'))}`,
    );
  }
}

/**
 * Compares on generated and mutated bodies, with random bytes behind each.
 * @param onList called after each list with the number of bodies so far; may throw to stop
 */
export function fuzz(seed: number, bodies: number, onList?: (done: number) => void): void {
  const random = randomFrom(seed);
  for (let done = 0; done < bodies; done += LIST) {
    const cases: Case[] = [];
    while (cases.length < LIST) {
      const format = random() < 0.6 ? FORMAT_JSON : FORMAT_NDJSON;
      const whole = bodyOf(format, random);
      cases.push({ body: whole, format, poison: poisonOf(random) });
      for (let mutant = 0; mutant < MUTANTS && whole.length > 0; mutant++) {
        cases.push({ body: mutate(whole, random), format, poison: poisonOf(random) });
      }
    }
    assertSame(cases, `seed ${seed}`, random() < 0.2 ? 1 + Math.floor(random() * 12) : 1000);
    onList?.(done + LIST);
  }
}

function bodyOf(format: BodyFormat, random: () => number): Buffer {
  if (random() < 0.8) return ordinaryBody(random, format === FORMAT_NDJSON);
  return format === FORMAT_JSON ? randomDocument(random) : randomLines(random);
}

const POISON = Buffer.from('"}]{[,:\\0e.-+ \n\x7f\x80\xff\0', 'latin1');

function poisonOf(random: () => number): Buffer {
  return Buffer.alloc(64, POISON[Math.floor(random() * POISON.length)]);
}
