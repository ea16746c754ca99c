/**
 * The parsers against what a competent developer writes first: `JSON.parse`, a walk that checks the contract's rules,
 * `JSON.stringify` for the lines. Targets at 100 metrics a body: to columns ≥ 3× (plain) and ≥ 3.5× (tags), to lines
 * ≥ 5× with the single pass.
 */
import assert from 'node:assert/strict';
import { encodedBodyBound } from '../../src/encoder/line-encoder.ts';
import { raiseInliningBudget } from '../../src/parser/inlining.ts';
import { type CreateParser, FORMAT_JSON, PARSED, type Parser } from '../../src/parser/parser.ts';
import { type BenchCase, compare, mayRun } from '../harness/compare.ts';
import { digestOf, makeWorkload, WORKLOADS, type Workload, type WorkloadName } from '../workloads.ts';
import { builtinLines, parseAndWalk } from './baseline.ts';

const SIMD = 'SIMD → lines';
/** Metrics that one timed call handles at least. */
const METRICS_A_RUN = 100;
const LIMITS = { maxBodyBytes: 8 << 20, maxBatch: 10_000 };
const RECEIPT_MS = 1_760_000_000_000;

// The SIMD parser opens the buffers in its own memory. So it loads first, and only in processes that run it.
const simd = mayRun(SIMD) ? await import('../../src/parser/simd/simd.ts') : null;
const singlePass = await import('../../src/parser/single-pass/single-pass.ts');
raiseInliningBudget();

const out = Buffer.from(new SharedArrayBuffer(4 << 20));
const outView = new DataView(out.buffer, out.byteOffset, out.byteLength);
/** The parser under test. */
let parser: Parser;

function open(createParser: CreateParser): void {
  parser = createParser(LIMITS);
}

/** Parses a copy of the body, as the pipeline does. */
function parse(body: Buffer): number {
  parser.input.set(body, 0);
  return parser.parse(body.length, FORMAT_JSON, RECEIPT_MS, 0);
}

function parseToLines(body: Buffer): number {
  parse(body);
  return parser.encode(out, outView, 0);
}

function verifyColumns({ body, metrics }: Workload): void {
  assert.equal(parse(body), PARSED);
  assert.equal(parseAndWalk(body).length, metrics);
  assert.equal(parser.accepted, metrics);
}

function verifyLines({ body }: Workload): void {
  const expected = out.toString('utf8', 0, builtinLines(body, out, RECEIPT_MS));
  const end = parseToLines(body);
  assert.ok(end <= encodedBodyBound(body.length, LIMITS.maxBatch));
  assert.equal(out.toString('utf8', 0, end), expected);
}

/** Calls `handle` until a run is long enough for the timer. */
function repeated(metrics: number, handle: () => unknown): Pick<BenchCase, 'run' | 'perRun'> {
  const calls = Math.ceil(METRICS_A_RUN / metrics);
  const run = (): void => {
    for (let call = 0; call < calls; call++) handle();
  };
  return { run, perRun: calls * metrics };
}

function verifiedWith(createParser: CreateParser, verify: () => void): () => void {
  return () => {
    open(createParser);
    verify();
  };
}

/** Each case has a call site of its own, so that none is slowed down by the calls of others. */
function columnCases(workload: Workload, target: number | undefined): BenchCase[] {
  const { body, metrics } = workload;
  const verify = verifiedWith(singlePass.createParser, () => verifyColumns(workload));
  return [
    { name: 'JSON.parse + walk', verify, ...repeated(metrics, () => parseAndWalk(body)) },
    {
      name: 'single pass',
      verify,
      ...repeated(metrics, () => parse(body)),
      ...(target && { target }),
    },
  ];
}

function lineCases(workload: Workload, target: number | undefined): BenchCase[] {
  const { body, metrics } = workload;
  const verify = (): void => verifyLines(workload);
  return [
    {
      name: 'JSON.parse → lines',
      verify: verifiedWith(singlePass.createParser, verify),
      ...repeated(metrics, () => builtinLines(body, out, RECEIPT_MS)),
    },
    {
      name: 'single pass → lines',
      verify: verifiedWith(singlePass.createParser, verify),
      ...repeated(metrics, () => parseToLines(body)),
      ...(target && { target }),
    },
    {
      name: SIMD,
      verify: () => {
        assert.equal(simd?.unavailable, null);
        open(simd!.createParser);
        verify();
      },
      ...repeated(metrics, () => parseToLines(body)),
    },
  ];
}

function columnTarget(name: WorkloadName): number {
  return name === 'plain' ? 3 : 3.5;
}

for (const metrics of [100, 1, 10, 1000]) {
  for (const name of WORKLOADS) {
    const workload = makeWorkload(name, metrics);
    const bytes = Math.round(workload.body.length / metrics);
    const shape = `${name}, ${metrics} a body, ${bytes} B/metric`;
    const target = metrics === 100;
    const common = { unit: 'metric', workload: { seed: workload.seed, digest: digestOf(workload.body) } };
    const columns = columnCases(workload, target ? columnTarget(name) : undefined);
    await compare({
      ...common,
      title: `parser to columns: ${shape}`,
      baseline: columns[0]!.name,
      cases: columns,
    });
    const lines = lineCases(workload, target ? 5 : undefined);
    await compare({ ...common, title: `parser to lines: ${shape}`, baseline: lines[0]!.name, cases: lines });
  }
}
