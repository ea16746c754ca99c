/** Runs a parser on a body and compares all its results with the reference. */
import assert from 'node:assert/strict';
import {
  type BodyFormat,
  ERRORS_MAX,
  FORMAT_JSON,
  MALFORMED,
  PARSED,
  type ParseOutcome,
  type Parser,
} from '../../src/parser/parser.ts';
import { type ReferenceMetric, type ReferenceResult, referenceJson, referenceLines } from './reference.ts';

/** In the order of their codes. */
const TYPES = ['gauge', 'counter', 'histogram', 'summary'] as const;
/** When every body was received: the timestamp of metrics that have none. */
export const RECEIPT_MS = 1_234_567_890_123;
const OFFSET = 64;
const out = Buffer.alloc(4 << 20);
const outView = new DataView(out.buffer, out.byteOffset, out.byteLength);

export function parseBody(
  parser: Parser,
  body: Buffer | string,
  format: BodyFormat = FORMAT_JSON,
): ParseOutcome {
  const bytes = Buffer.from(body as Buffer);
  parser.input.set(bytes, 0);
  return parser.parse(bytes.length, format, RECEIPT_MS, OFFSET);
}

/** The lines of the accepted metrics. */
export function linesOf(parser: Parser): string {
  const end = parser.encode(out, outView, OFFSET);
  return out.toString('latin1', OFFSET, end);
}

/** The accepted metrics as objects, with timestamp null where that is the time of receipt. For bodies without that timestamp. */
export function metricsOf(parser: Parser): ReferenceMetric[] {
  return storedMetrics(parser).map((metric) => ({
    ...metric,
    timestamp: metric.timestamp === RECEIPT_MS ? null : metric.timestamp,
  }));
}

/** The accepted metrics as objects, decoded from their lines. */
function storedMetrics(parser: Parser): ReferenceMetric[] {
  const lines = Buffer.from(linesOf(parser), 'latin1').toString('utf8').split('\n');
  assert.equal(lines.pop(), '');
  assert.equal(lines.length, parser.accepted);
  const counts = new Int32Array(TYPES.length);
  parser.countTypes(counts);
  const metrics = lines.map(metricOf);
  assert.deepEqual(
    [...counts],
    TYPES.map((type) => metrics.filter((metric) => metric.type === type).length),
  );
  return metrics;
}

function metricOf(line: string): ReferenceMetric {
  assert.equal(line, withoutSpace(line));
  const metric = JSON.parse(line) as ReferenceMetric & { tags?: Record<string, string> };
  const { timestamp, name, value, type, tags = {} } = metric;
  return {
    name,
    value,
    type,
    timestamp,
    tags: Object.entries(tags),
  };
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
    assert.equal(parser.accepted, 0, 'a rejected body has no metrics');
    assert.equal(isSyntaxFailure(parser), expected.syntax, `syntax or structure: ${parser.failure().reason}`);
    return expected;
  }
  assert.equal(parser.seen, expected.seen);
  assert.equal(parser.rejected, expected.errors.length);
  assert.equal(parser.accepted, expected.metrics.length);
  const stored = expected.metrics.map((metric) => ({ ...metric, timestamp: metric.timestamp ?? RECEIPT_MS }));
  assert.deepEqual(sorted(storedMetrics(parser)), sorted(stored));
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
