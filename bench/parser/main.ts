/**
 * The single-pass parser and the line encoder against what a competent developer writes first: `JSON.parse`, a walk
 * that checks the contract's rules, `JSON.stringify` for the lines. To columns: ≥ 3× (plain) and ≥ 3.5× (three
 * tags); to lines: ≥ 5×, at 100 metrics a body.
 */
import assert from 'node:assert/strict';
import { encodedBodyBound } from '../../src/encoder/line-encoder.ts';
import { raiseInliningBudget } from '../../src/parser/inlining.ts';
import { FORMAT_JSON, PARSED } from '../../src/parser/parser.ts';
import { createParser } from '../../src/parser/single-pass/single-pass.ts';
import { type BenchCase, compare } from '../harness/compare.ts';
import { digestOf, makeWorkload, WORKLOADS, type Workload, type WorkloadName } from '../workloads.ts';
import { parseAndWalk } from './baseline.ts';

/** Metrics that one timed call handles at least. */
const METRICS_A_RUN = 100;
const RECEIPT_MS = 1_760_000_000_000;
const parser = createParser({ maxBodyBytes: 8 << 20, maxBatch: 10_000 });
raiseInliningBudget();
const out = Buffer.alloc(1 << 20);
const outView = new DataView(out.buffer, out.byteOffset, out.byteLength);

function parseToLines(body: Buffer): number {
  let lines = '';
  for (const { timestamp = RECEIPT_MS, name, value, type = 'gauge', tags } of parseAndWalk(body)) {
    lines += `${JSON.stringify({ timestamp, name, value, type, tags })}\n`;
  }
  return out.write(lines, 0, 'utf8');
}

function singlePass(body: Buffer): number {
  // The transport copies the chunks of a body to the input, so that is part of the price.
  parser.input.set(body, 0);
  return parser.parse(body.length, FORMAT_JSON, RECEIPT_MS);
}

function singlePassToLines(body: Buffer): number {
  singlePass(body);
  return parser.encode(out, outView, 0);
}

function verifyColumns({ body, metrics }: Workload): void {
  assert.equal(singlePass(body), PARSED);
  const expected = parseAndWalk(body);
  assert.equal(expected.length, metrics);
  assert.equal(parser.accepted, metrics);
}

function verifyLines({ body }: Workload): void {
  const expected = out.toString('utf8', 0, parseToLines(body));
  const end = singlePassToLines(body);
  assert.ok(end <= encodedBodyBound(body.length, 10_000));
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

/** Each case has a call site of its own, so that none is slowed down by what the others call. */
function columnCases(workload: Workload, target: number | undefined): BenchCase[] {
  const { body, metrics } = workload;
  const verify = (): void => verifyColumns(workload);
  return [
    { name: 'JSON.parse + walk', verify, ...repeated(metrics, () => parseAndWalk(body)) },
    {
      name: 'single pass',
      verify,
      ...repeated(metrics, () => singlePass(body)),
      ...(target && { target }),
    },
  ];
}

function lineCases(workload: Workload, target: number | undefined): BenchCase[] {
  const { body, metrics } = workload;
  const verify = (): void => verifyLines(workload);
  return [
    { name: 'JSON.parse → lines', verify, ...repeated(metrics, () => parseToLines(body)) },
    {
      name: 'single pass → lines',
      verify,
      ...repeated(metrics, () => singlePassToLines(body)),
      ...(target && { target }),
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
