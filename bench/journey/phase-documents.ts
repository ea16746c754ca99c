/**
 * The before/after tables of docs/phases: what stands between `<!-- journey:N -->` and `<!-- /journey -->` is made from
 * journey.json.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { table } from '../compare/report.ts';
import type { Cell, Journey } from './figures.ts';
import { stepSentence } from './sentences.ts';
import { cpuPerMillion, figureOf, openCellsOf, ratioOf, saturationOf, successShare } from './summary.ts';
import {
  factor,
  mebibytes,
  median,
  medianAndRange,
  originText,
  percent,
  phaseName,
  rateOf,
  whole,
} from './text.ts';

const BEGIN = /<!-- journey:(\d+) -->/;
const END = '<!-- /journey -->';

interface Line {
  readonly name: string;
  readonly show: (cells: readonly Cell[]) => string;
  readonly ratio?: Parameters<typeof ratioOf>[2];
}

const startedPerSecond = (cells: readonly Cell[]): string =>
  median(figureOf(cells, (f) => f.threadsStarted / f.seconds));

const SATURATED: readonly Line[] = [
  {
    name: 'metrics stored a second',
    show: (cells) => medianAndRange(figureOf(cells, (f) => f.storedPerSecond)),
    ratio: (f) => f.storedPerSecond,
  },
  { name: 'at clients', show: (cells) => String(cells[0]?.load.clients ?? '') },
  { name: '2xx of all answers', show: (cells) => median(figureOf(cells, successShare), percent) },
  {
    name: 'p50, ms',
    show: (cells) => medianAndRange(figureOf(cells, (f) => f.p50Ms)),
    ratio: (f) => f.p50Ms,
  },
  {
    name: 'p99, ms',
    show: (cells) => medianAndRange(figureOf(cells, (f) => f.p99Ms)),
    ratio: (f) => f.p99Ms,
  },
  {
    name: 'CPU seconds per million metrics',
    show: (cells) => medianAndRange(figureOf(cells, cpuPerMillion)),
    ratio: cpuPerMillion,
  },
  {
    name: 'peak resident memory, MiB',
    show: (cells) =>
      medianAndRange(
        figureOf(cells, (f) => f.peakBytes),
        mebibytes,
      ),
    ratio: (f) => f.peakBytes,
  },
  {
    name: 'threads at once, at most',
    show: (cells) =>
      median(
        figureOf(cells, (f) => f.threads),
        whole,
      ),
  },
  { name: 'threads started a second', show: startedPerSecond },
];

const OPEN: readonly Line[] = [
  { name: '2xx of all answers', show: (cells) => median(figureOf(cells, successShare), percent) },
  {
    name: 'p50, ms',
    show: (cells) => medianAndRange(figureOf(cells, (f) => f.p50Ms)),
    ratio: (f) => f.p50Ms,
  },
  {
    name: 'p99, ms',
    show: (cells) => medianAndRange(figureOf(cells, (f) => f.p99Ms)),
    ratio: (f) => f.p99Ms,
  },
];

function rowsOf(
  lines: readonly Line[],
  prefix: string,
  before: readonly Cell[] | undefined,
  after: readonly Cell[],
): string[][] {
  return lines.map(({ name, show, ratio }) => [
    `${prefix}${name}`,
    ...(before === undefined ? [] : [show(before)]),
    show(after),
    ...(before === undefined
      ? []
      : [ratio === undefined ? '' : medianAndRange(ratioOf(after, before, ratio), factor)]),
  ]);
}

/** The table of one phase beside the one before it, with where it comes from. '' when the phase was not measured. */
export function phaseSection(journey: Journey, phase: number): string {
  const after = saturationOf(journey.ladder, phase);
  if (after === undefined) return '';
  const before = saturationOf(journey.ladder, phase - 1);
  const rows = rowsOf(SATURATED, '', before?.cells, after.cells);
  const open = openCellsOf(journey, phase, 'baseline');
  const [load] = open.map((cell) => cell.load);
  if (load?.kind === 'open') {
    const earlier = before && openCellsOf(journey, phase - 1, 'baseline');
    rows.push(...rowsOf(OPEN, `at a constant ${rateOf(load)}: `, earlier, open));
  }
  const head = before
    ? ['', `phase ${phaseName(journey, phase - 1)}`, `phase ${phaseName(journey, phase)}`, 'ratio']
    : ['', `phase ${phaseName(journey, phase)}`];
  return [
    table(head, rows),
    stepSentence(journey, phase),
    `${originText(journey)} ${journey.rounds} round${journey.rounds === 1 ? '' : 's'}; medians, in parentheses minimum and maximum; ${journey.batch} ` +
      'metrics a request, `--ack synced`; each phase on the rung of the client ladder where it stores most, and at ' +
      "phase 0's saturation rate. All cells: [results/journey.md](../results/journey.md).",
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** The document with its tables filled in; unchanged where it has no marks, or the phase was not measured. */
export function fillDocument(text: string, journey: Journey): string {
  const begin = BEGIN.exec(text);
  if (begin === null) return text;
  const section = phaseSection(journey, Number(begin[1]));
  const from = begin.index + begin[0].length;
  const rest = text.slice(from);
  const endAt = rest.indexOf(END);
  const nextBegin = rest.search(BEGIN);
  const closes = endAt >= 0 && (nextBegin < 0 || endAt < nextBegin);
  const inside = closes ? rest.slice(0, endAt) : '\n';
  const behind = closes ? rest.slice(endAt + END.length) : rest;
  const filled = section === '' ? inside : `\n\n${section}\n\n`;
  return `${text.slice(0, from)}${filled}${END}${fillDocument(behind, journey)}`;
}

/** Fills every document of a directory; returns the names of those that changed. */
export function fillDocuments(directory: string, journey: Journey): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.md'))
    .sort()
    .filter((name) => {
      const path = join(directory, name);
      const text = readFileSync(path, 'utf8');
      const filled = fillDocument(text, journey);
      if (filled === text) return false;
      writeFileSync(path, filled);
      return true;
    });
}
