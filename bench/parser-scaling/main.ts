/**
 * Time per byte over the size of the body: what a parser costs that goes over the body once, and one that searches
 * through the rest of it for every item.
 *
 * Bodies of 1 KB to 1 MB, in two shapes: `plain` has no tags, so each item is one for which the several-scan parser
 * searches in vain; with `tags` every field is found in the item or the next one. `--report DIR` writes the figures
 * to DIR/parser-scaling.json and a plot to DIR/parser-scaling.svg.
 */
import assert from 'node:assert/strict';
import { raiseInliningBudget } from '../../src/parser/inlining.ts';
import { createParser as createNaive } from '../../src/parser/naive/naive.ts';
import { createParser as createSinglePass } from '../../src/parser/single-pass/single-pass.ts';
import { type BenchCase, type CaseResult, compare } from '../harness/compare.ts';
import { smokeRun } from '../harness/options.ts';
import { type Measurement, runComponent } from '../harness/publish.ts';
import { parseAndWalk } from '../parser/baseline.ts';
import { parse, repeated, verifiedBy } from '../parser/cases.ts';
import { lineChart } from '../report/line-chart.ts';
import { type Column, type Table, tableOf } from '../report/table.ts';
import { digestOf, makeWorkload, type WorkloadName } from '../workloads.ts';

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

const TITLE = 'parser scaling';
const WALK = 'JSON.parse + walk';
const SINGLE_PASS = 'single pass';
const SEVERAL_SCANS = 'several scans';
const NAMES = [WALK, SINGLE_PASS, SEVERAL_SCANS] as const;

interface Point {
  readonly bytes: number;
  readonly metrics: number;
  readonly results: readonly CaseResult[];
}

raiseInliningBudget();

function casesFor(body: Buffer, metrics: number): BenchCase[] {
  const many = (handle: () => unknown) => repeated(Math.ceil(BYTES_A_RUN / body.length), body.length, handle);
  return [
    {
      name: WALK,
      verify: () => assert.equal(parseAndWalk(body).length, metrics),
      ...many(() => parseAndWalk(body)),
    },
    { name: SINGLE_PASS, verify: verifiedBy(() => createSinglePass, body), ...many(() => parse(body)) },
    { name: SEVERAL_SCANS, verify: verifiedBy(() => createNaive, body), ...many(() => parse(body)) },
  ];
}

async function measure(shape: WorkloadName, size: number): Promise<Point> {
  const metricBytes = makeWorkload(shape, 100).body.length / 100;
  const metrics = Math.round(size / metricBytes);
  const { body, seed } = makeWorkload(shape, metrics);
  const long = shape === 'plain' && size >= LONG_BYTES;
  const results = await compare({
    title: `${TITLE}: ${shape}, ${sizeText(size)}, ${metrics} metrics`,
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

type Curves = Readonly<Partial<Record<WorkloadName, readonly Point[]>>>;

/** CPU ns per byte, and the power of the size by which time grew from the last size but one to the last. */
function scalingTable(points: readonly Point[]): Table {
  const tableColumns: Column<Point>[] = [
    ['body', ({ bytes }) => sizeText(SIZES.find((size) => Math.abs(size - bytes) < size / 4) ?? bytes)],
    ...NAMES.map((name): Column<Point> => [name, (point) => nsText(cpuNsPerByte(point, name))]),
  ];
  const { head, rows } = tableOf(tableColumns, points);
  const [before, last] = points.slice(-2);
  if (before === undefined || last === undefined) return { head, rows };
  return { head, rows: [...rows, ['power', ...NAMES.map((name) => growth(before, last, name).toFixed(2))]] };
}

/** One line for each parser on `plain`, and the several-scan one where it finds all that it searches. */
function plot(curves: Curves): string {
  const line = (name: string, shape: WorkloadName, suffix = '') => ({
    name: name + suffix,
    points: (curves[shape] ?? []).map((point) => [point.bytes, cpuNsPerByte(point, name)] as const),
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

interface Figures extends Measurement {
  readonly curves: Curves;
}

/** @returns nothing in a child process, in a smoke run, and where `--only` selects a part */
async function measureAll(): Promise<Figures | null> {
  const curves: Partial<Record<WorkloadName, Point[]>> = {};
  for (const shape of SHAPES) {
    for (const size of SIZES) {
      if (smokeRun && size > SMOKE_MAX_BYTES) continue;
      const point = await measure(shape, size);
      if (point.results.length > 0) curves[shape] = [...(curves[shape] ?? []), point];
    }
  }
  if (Object.keys(curves).length < SHAPES.length) return null;
  const { seed, body } = makeWorkload(SHAPES[0], Math.round(SIZES[0]! / 100));
  return { rounds: MAX_ROUNDS, seed, digest: digestOf(body), curves };
}

await runComponent<Figures>({
  title: TITLE,
  name: 'parser-scaling',
  measure: measureAll,
  tables: ({ curves }) =>
    Object.fromEntries(Object.entries(curves).map(([shape, points]) => [shape, scalingTable(points)])),
  charts: ({ curves }) => ({ 'parser-scaling.svg': plot(curves) }),
});
