/** Runs a body through the parser of phase 2, which is right and slow, and through the learner's. */
import { expectEqual } from '../../../src/learn/failure.ts';
import { createParser as createNaive } from '../../../src/parser/naive/naive.ts';
import {
  BATCH_TOO_LARGE,
  type BodyFormat,
  FORMAT_JSON,
  FORMAT_NDJSON,
  PARSED,
  type Parser,
} from '../../../src/parser/parser.ts';
import { createParser } from '../../../src/parser/single-pass/single-pass.ts';
import { linesOf, parseBody, RECEIPT_MS } from '../../parser/judge.ts';

const LIMITS = { maxBodyBytes: 1 << 16, maxBatch: 8 };
const naive = createNaive(LIMITS);
const own = createParser(LIMITS);

/** Steps from which on a result shows more. */
const ROWS_STEP = 5;
const PLACE_STEP = 6;

/** The result as a client and a reader of the files see it; in early steps a part of it. */
function describe(parser: Parser, body: string, format: BodyFormat, step: number): string {
  const outcome = parseBody(parser, body, format);
  if (outcome !== PARSED) {
    const { offset, field, reason } = parser.failure();
    const place = `byte ${offset}${field === '' || step < PLACE_STEP ? '' : `, ${field}`}`;
    return outcome === BATCH_TOO_LARGE ? `413 at ${place}: ${reason}` : `400 at ${place}: ${reason}`;
  }
  const lines = linesOf(parser).trimEnd().replaceAll(`"timestamp":${RECEIPT_MS}`, '"timestamp":receipt');
  const errors = parser
    .errors()
    .map(
      ({ index, offset, field, reason }) =>
        `item ${index} rejected at byte ${offset}: ${field === '' ? '' : `${field} `}${reason}`,
    );
  if (errors.length > 0 && step < ROWS_STEP) return errors.join('; ');
  return [...lines.split('\n').filter((line) => line !== ''), ...errors].join('; ');
}

export interface BodyCase {
  readonly body: string;
  /** The body in words, if it is too long to show. */
  readonly shown?: string;
  readonly so?: string;
  readonly lines?: boolean;
}

/**
 * @param step the last digit of the step's number
 * @param keepInput leave bytes after the body, as a longer one before it does
 */
export function checkBodies(step: number, cases: readonly BodyCase[], keepInput = false): void {
  for (const { body, shown = body, so, lines = false } of cases) {
    const format = lines ? FORMAT_NDJSON : FORMAT_JSON;
    if (!keepInput) own.input.fill(0);
    const expected = describe(naive, body, format, step);
    if (keepInput) own.input.set(Buffer.from('9"}]}9'), Buffer.byteLength(body));
    else own.input.fill(0);
    expectEqual(describe(own, body, format, step), expected, {
      did: `The test parsed ${shown.replaceAll('\n', '⏎')} and compared with the parser of phase 2.`,
      ...(so === undefined ? {} : { so }),
    });
  }
}

/** A body of these items. */
export const bodyOf = (...items: readonly string[]): string => `{"metrics":[${items.join(',')}]}`;
