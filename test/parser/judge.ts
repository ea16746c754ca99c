/** Runs a parser on a body and compares all its results with the reference. */
import assert from 'node:assert/strict';
import {
  type BodyFormat,
  ERRORS_MAX,
  FORMAT_JSON,
  FORMATTED_TIMESTAMP,
  MALFORMED,
  type MetricColumns,
  NO_TIMESTAMP,
  PARSED,
  type ParseOutcome,
  type Parser,
} from '../../src/parser/parser.ts';
import { type ReferenceMetric, type ReferenceResult, referenceJson, referenceLines } from './reference.ts';

const TYPES = ['gauge', 'counter', 'histogram', 'summary'] as const;

export function parseBody(
  parser: Parser,
  body: Buffer | string,
  format: BodyFormat = FORMAT_JSON,
): ParseOutcome {
  const bytes = Buffer.from(body as Buffer);
  parser.input.set(bytes, 0);
  return parser.parse(bytes.length, format);
}

/** The accepted metrics as objects, decoded from the raw spans. */
export function metricsOf(columns: MetricColumns): ReferenceMetric[] {
  const text = (start: number, end: number): string =>
    Buffer.from(columns.input.subarray(start, end)).toString('utf8');
  return Array.from({ length: columns.count }, (_, row) => {
    const tagsStart = columns.tagsStart[row]!;
    const tags = tagsStart < 0 ? '{}' : text(tagsStart, columns.tagsEnd[row]!);
    if (tagsStart >= 0) {
      assert.equal(columns.tagsCompact[row] === 1, tags === withoutSpace(tags), 'compactness of tags');
    }
    return {
      name: JSON.parse(`"${text(columns.nameStart[row]!, columns.nameEnd[row]!)}"`) as string,
      value: Number(text(columns.valueStart[row]!, columns.valueEnd[row]!)),
      type: TYPES[columns.type[row]!] ?? 'gauge',
      timestamp: timestampOf(columns, row),
      tags: Object.entries(JSON.parse(tags) as Record<string, string>),
    };
  });
}

function timestampOf({ input, ...columns }: MetricColumns, row: number): number | null {
  const start = columns.timestampStart[row]!;
  if (start === NO_TIMESTAMP) return null;
  if (start === FORMATTED_TIMESTAMP) return columns.timestamp[row]!;
  const digits = Buffer.from(input.subarray(start, columns.timestampEnd[row]!)).toString();
  assert.match(digits, /^[1-9][0-9]{0,14}$/);
  return Number(digits);
}

/** JSON text without the white space between its tokens. */
function withoutSpace(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|[ \t\r\n]+/g, (part) => (part.startsWith('"') ? part : ''));
}

/** Sorts tags, because JavaScript objects list integer keys first. */
function sorted(metrics: readonly ReferenceMetric[]): ReferenceMetric[] {
  return metrics.map((metric) => ({ ...metric, tags: [...metric.tags].sort() }));
}

/** Reasons that concern the structure of well-formed JSON. */
const STRUCTURE = new Set([
  'must be an object',
  'must be an array',
  'is required',
  'given twice',
  'must have at least one item',
]);

export function isSyntaxFailure(parser: Parser): boolean {
  return !STRUCTURE.has(parser.failure().reason);
}

/**
 * Throws unless `parser` returns the reference's results. The body must not exceed the batch limit.
 * @returns the reference's results
 */
export function judge(parser: Parser, body: Buffer, format: BodyFormat): ReferenceResult {
  const expected = format === FORMAT_JSON ? referenceJson(body) : referenceLines(body);
  const outcome = parseBody(parser, body, format);
  assert.equal(outcome, expected.outcome === 'parsed' ? PARSED : MALFORMED, 'outcome');
  if (outcome !== PARSED) {
    assert.equal(parser.columns.count, 0, 'a rejected body has no metrics');
    assert.equal(isSyntaxFailure(parser), expected.syntax, `syntax or structure: ${parser.failure().reason}`);
    return expected;
  }
  assert.equal(parser.seen, expected.seen);
  assert.equal(parser.rejected, expected.errors.length);
  assert.equal(parser.columns.count, expected.metrics.length);
  assert.deepEqual(sorted(metricsOf(parser.columns)), sorted(expected.metrics));
  const errors = parser.errors();
  assert.equal(errors.length, Math.min(expected.errors.length, ERRORS_MAX));
  for (const [at, error] of errors.entries()) {
    const wanted = expected.errors[at]!;
    if (wanted.offset < 0) {
      assert.equal(error.index, wanted.index);
      assert.ok(error.reason.startsWith(wanted.reason), error.reason);
      assert.ok(error.offset >= 0 && error.offset <= body.length);
    } else if (error.field.endsWith('…')) {
      assert.ok(wanted.field.startsWith(error.field.slice(0, -1)), 'a long key is cut');
      assert.deepEqual({ ...error, field: '' }, { ...wanted, field: '' });
    } else {
      assert.deepEqual(error, wanted);
    }
  }
  return expected;
}

/**
 * Throws unless the failure of the last body names the first invalid byte: the bytes before it must be a prefix of
 * some valid body.
 */
export function assertFirstBadByte(parser: Parser, body: Buffer): void {
  const { offset, reason } = parser.failure();
  assert.ok(offset <= body.length, `${offset} is within the body`);
  if (!isSyntaxFailure(parser)) return;
  const before = body.subarray(0, offset);
  if (parseBody(parser, before) === PARSED || !isSyntaxFailure(parser)) {
    assert.equal(reason, 'only white space may follow');
    return;
  }
  assert.deepEqual(
    { ...parser.failure(), field: '' },
    { offset, field: '', reason: 'unexpected end of body' },
  );
}
