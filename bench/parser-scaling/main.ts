/**
 * Time per byte over the size of the body: what a parser costs that goes over the body once, and one that searches
 * through the rest of it for every item.
 *
 * Bodies of 1 KB to 1 MB, in two shapes: `plain` has no tags, so each item is one for which the several-scan parser
 * searches in vain; with `tags` every field is found in the item or the next one. `--report DIR` writes the figures
 * to DIR/parser-scaling.json and a plot to DIR/parser-scaling.svg.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createParser as createNaive } from '../../src/parser/naive/naive.ts';
import {
  BATCH_CEILING,
  type CreateParser,
  FORMAT_JSON,
  type MetricColumns,
  PARSED,
  type Parser,
} from '../../src/parser/parser.ts';
import { createParser as createSinglePass } from '../../src/parser/single-pass/single-pass.ts';
import {
  type BenchCase,
  type CaseResult,
  compare,
  digestOf,
  jsonOutput,
  machine,
  smokeRun,
} from '../harness.ts';
import { type Metric, parseAndWalk } from '../parser/baseline.ts';
import { lineChart } from '../plot/line-chart.ts';
import { makeWorkload, type WorkloadName } from '../workloads.ts';

const KB = 1024;
const SIZES = [1, 4, 16, 64, 256, 1024].map((size) => size * KB);
/** Of the sizes above this one a smoke run would take seconds. */
const SMOKE_MAX_BYTES = 64 * KB;
/** From this size on, one call of the several-scan parser is longer than a round. */
const LONG_BYTES = 256 * KB;
const MAX_ROUNDS = 5;
const LONG_ROUNDS = 2;
/** Bytes that one timed call handles at least. */
const BYTES_A_RUN = 16 * KB;
const SHAPES = ['plain', 'tags'] as const satisfies readonly WorkloadName[];

const WALK = 'JSON.parse + walk';
const SINGLE_PASS = 'single pass';
const SEVERAL_SCANS = 'several scans';
const NAMES = [WALK, SINGLE_PASS, SEVERAL_SCANS] as const;
const TYPES = ['gauge', 'counter', 'histogram', 'summary'] as const;

interface Point {
  readonly bytes: number;
  readonly metrics: number;
  readonly results: readonly CaseResult[];
}

/** Creates the parser when it is first used: it alone then decides how the process is compiled. */
function lazily(createParser: CreateParser): () => Parser {
  let parser: Parser | undefined;
  return () => {
    parser ??= createParser({ maxBodyBytes: 8 << 20, maxBatch: BATCH_CEILING });
    return parser;
  };
}

/** The rows as objects, read from the spans as the encoder would. */
function metricsOf({ count, input, ...columns }: MetricColumns): Metric[] {
  const read = (start: number, end: number): unknown =>
    JSON.parse(Buffer.from(input.buffer, input.byteOffset + start, end - start).toString('utf8'));
  return Array.from({ length: count }, (_, row) => ({
    name: read(columns.nameStart[row]! - 1, columns.nameEnd[row]! + 1) as string,
    value: read(columns.valueStart[row]!, columns.valueEnd[row]!) as number,
    type: TYPES[columns.type[row]!]!,
    timestamp: read(columns.timestampStart[row]!, columns.timestampEnd[row]!) as number,
    ...(columns.tagsStart[row]! >= 0 && {
      tags: read(columns.tagsStart[row]!, columns.tagsEnd[row]!) as Record<string, string>,
    }),
  }));
}

/** The transport copies a body's chunks to the input, so that is part of the price. */
function parserCase(name: string, getParser: () => Parser, body: Buffer): BenchCase {
  const verify = (): void => {
    const parser = getParser();
    parser.input.set(body, 0);
    assert.equal(parser.parse(body.length, FORMAT_JSON), PARSED);
    assert.deepEqual(metricsOf(parser.columns), parseAndWalk(body));
  };
  const calls = callsFor(body);
  const run = (): void => {
    const parser = getParser();
    for (let call = 0; call < calls; call++) {
      parser.input.set(body, 0);
      parser.parse(body.length, FORMAT_JSON);
    }
  };
  return { name, verify, run, perRun: calls * body.length };
}

function callsFor(body: Buffer): number {
  return Math.ceil(BYTES_A_RUN / body.length);
}

const singlePass = lazily(createSinglePass);
const naive = lazily(createNaive);

function casesFor(body: Buffer, metrics: number): BenchCase[] {
  const calls = callsFor(body);
  return [
    {
      name: WALK,
      verify: () => assert.equal(parseAndWalk(body).length, metrics),
      run: () => {
        for (let call = 0; call < calls; call++) parseAndWalk(body);
      },
      perRun: calls * body.length,
    },
    parserCase(SINGLE_PASS, singlePass, body),
    parserCase(SEVERAL_SCANS, naive, body),
  ];
}

async function measure(shape: WorkloadName, size: number): Promise<Point> {
  const metricBytes = makeWorkload(shape, 100).body.length / 100;
  const metrics = Math.round(size / metricBytes);
  const { body, seed } = makeWorkload(shape, metrics);
  const long = shape === 'plain' && size >= LONG_BYTES;
  const results = await compare({
    title: `parser scaling: ${shape}, ${sizeText(size)}, ${metrics} metrics`,
    unit: 'byte',
    baseline: WALK,
    workload: { seed, digest: digestOf(body) },
    cases: casesFor(body, metrics),
    maxRounds: long ? LONG_ROUNDS : MAX_ROUNDS,
    longCalls: long,
  });
  return { bytes: body.length, metrics, results };
}

function sizeText(bytes: number): string {
  return bytes < 1024 * KB ? `${bytes / KB} KB` : `${bytes / (1024 * KB)} MB`;
}

/** CPU time: on a machine with neighbours it is steadier than the clock. */
function cpuNsPerByte({ results }: Point, name: string): number {
  return results.find((result) => result.name === name)?.cpuNs.p50 ?? Number.NaN;
}

function nsText(ns: number): string {
  return Number(ns.toPrecision(3)).toLocaleString('en');
}

/** The power of the size by which time grows, between two points. */
function growth(from: Point, to: Point, name: string): number {
  const perByte = Math.log(cpuNsPerByte(to, name) / cpuNsPerByte(from, name));
  return 1 + perByte / Math.log(to.bytes / from.bytes);
}

function printTable(shape: WorkloadName, points: readonly Point[]): void {
  const width = 20;
  console.log(
    `\nparser scaling, ${shape}: CPU ns per byte, and the power of the size by which time grew last`,
  );
  console.log(`  ${'body'.padEnd(8)}${NAMES.map((name) => name.padStart(width)).join('')}`);
  for (const [at, point] of points.entries()) {
    const cells = NAMES.map((name) => nsText(cpuNsPerByte(point, name)).padStart(width));
    console.log(`  ${sizeText(SIZES[at]!).padEnd(8)}${cells.join('')}`);
  }
  const [before, last] = points.slice(-2);
  if (before === undefined || last === undefined) return;
  const powers = NAMES.map((name) => growth(before, last, name).toFixed(2).padStart(width));
  console.log(`  ${'power'.padEnd(8)}${powers.join('')}`);
}

/** One line for each parser on `plain`, and the several-scan one where it finds all that it searches. */
function plot(curves: ReadonlyMap<WorkloadName, readonly Point[]>): string {
  const line = (
    name: string,
    shape: WorkloadName,
    suffix = '',
  ): { name: string; points: [number, number][] } => ({
    name: name + suffix,
    points: (curves.get(shape) ?? []).map((point) => [point.bytes, cpuNsPerByte(point, name)]),
  });
  return lineChart({
    title: 'Time per byte over the size of the body',
    xLabel: 'body',
    yLabel: 'CPU ns per byte',
    xScale: 'log',
    yScale: 'log',
    xTicks: SIZES,
    xText: (bytes) => (bytes % KB === 0 ? sizeText(bytes) : `${bytes.toLocaleString('en')} bytes`),
    yText: nsText,
    series: [
      line(SEVERAL_SCANS, 'plain'),
      line(SEVERAL_SCANS, 'tags', ', all fields given'),
      line(WALK, 'plain'),
      line(SINGLE_PASS, 'plain'),
    ],
  });
}

function writeReport(folder: string, curves: ReadonlyMap<WorkloadName, readonly Point[]>): void {
  mkdirSync(folder, { recursive: true });
  const about = {
    command: 'node dist/bench/parser-scaling/main.js --report docs/results',
    machine: machine(),
  };
  const data = { ...about, unit: 'ns per byte', curves: Object.fromEntries(curves) };
  writeFileSync(join(folder, 'parser-scaling.json'), `${JSON.stringify(data, null, 2)}\n`);
  writeFileSync(join(folder, 'parser-scaling.svg'), plot(curves));
}

const { values: options } = parseArgs({ options: { report: { type: 'string' } }, strict: false });
const curves = new Map<WorkloadName, Point[]>();
for (const shape of SHAPES) {
  const points: Point[] = [];
  for (const size of SIZES) {
    if (smokeRun && size > SMOKE_MAX_BYTES) continue;
    const point = await measure(shape, size);
    if (point.results.length > 0) points.push(point);
  }
  if (points.length > 0) curves.set(shape, points);
}
for (const [shape, points] of curves) if (!jsonOutput) printTable(shape, points);
if (typeof options.report === 'string' && curves.size === SHAPES.length) writeReport(options.report, curves);
