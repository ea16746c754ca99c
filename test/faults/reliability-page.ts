/** docs/results/reliability.md, made of the tallies of a run. */
import type { FaultCase, FaultTally, Form } from './cases/fault-case.ts';

export interface Row {
  readonly name: string;
  readonly fault: string;
  readonly promise: string;
  readonly seconds: number;
  /** Absent where the case could not be tried or failed before it could be counted. */
  readonly tally?: FaultTally;
  /** Why it could not be tried here. */
  readonly skipped?: string;
  /** Broken promises; empty if all held. */
  readonly broken: readonly string[];
}

export interface RunInfo {
  readonly command: string;
  readonly form: Form;
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
}

export function rowOf(
  { name, fault, promise }: FaultCase,
  rest: Omit<Row, 'name' | 'fault' | 'promise'>,
): Row {
  return { name, fault, promise, ...rest };
}

const PREFACE = `# Reliability: figures of the last long run

[Reliability](../reliability.md) says what is promised and how the faults are made. Files are kept small (64 KiB), so that
rotations fall into every fault.

| column | meaning |
|---|---|
| tries | how often the fault struck |
| unknown | metrics with a 504, a reset or no answer |
| lost | acknowledged and not stored; under \`received\` and \`written\` with its bound: the metrics that the server's own gauges named as not yet safe just before the fault, and those it acknowledged since |
| recovery | slowest time from the end of the fault, or from the start of the next process, to the first metric stored again |
| files | segments begun meanwhile |
`;

const number = (value: number): string => value.toLocaleString('en-US');

function lostText({ lost, lossBound }: FaultTally): string {
  return lossBound === 0 ? number(lost) : `${number(lost)} (≤ ${number(lossBound)})`;
}

function recoveryText({ recoveryMs }: FaultTally): string {
  if (recoveryMs === null) return '–';
  return recoveryMs < 1_000 ? `${recoveryMs} ms` : `${(recoveryMs / 1_000).toFixed(1)} s`;
}

function cells({ name, fault, promise, tally, skipped, broken }: Row): string[] {
  const settings = name.split(', ').slice(1).join(', ');
  const what = `${fault}${settings === '' ? '' : ` (${settings})`}`;
  if (tally === undefined) {
    const why = skipped === undefined ? `**failed**: ${broken.join('; ')}` : `not tried: ${skipped}`;
    return [what, promise, '', '', '', '', '', '', '', '', why];
  }
  const { tries, acknowledged, refused, unknown, refusedButStored, segments, note = '' } = tally;
  const counts = [tries, acknowledged, refused, unknown].map(number);
  const verdict = broken.length === 0 ? note : `**does not hold**: ${broken.join('; ')}. ${note}`;
  return [
    ...[what, promise, ...counts, lostText(tally), number(refusedButStored)],
    ...[recoveryText(tally), number(segments), verdict],
  ];
}

const HEADINGS = [
  ...['fault', 'promise', 'tries', 'acknowledged', 'refused', 'unknown', 'lost', 'refused but stored'],
  ...['recovery', 'files', 'note'],
];
const RIGHT = new Set([
  'tries',
  'acknowledged',
  'refused',
  'unknown',
  'lost',
  'refused but stored',
  'recovery',
  'files',
]);

function tableOf(rows: readonly Row[]): string {
  const line = (texts: readonly string[]) =>
    `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = HEADINGS.map((heading) => (RIGHT.has(heading) ? '---:' : '---'));
  return [line(HEADINGS), line(rule), ...rows.map((row) => line(cells(row)))].join('\n');
}

function summaryOf(rows: readonly Row[]): string {
  const tallies = rows.flatMap(({ tally }) => (tally === undefined ? [] : [tally]));
  const sum = (pick: (tally: FaultTally) => number) =>
    number(tallies.reduce((all, tally) => all + pick(tally), 0));
  const strict = tallies.filter(({ lossBound }) => lossBound === 0);
  const lostOfStrict = strict.reduce((all, { lost }) => all + lost, 0);
  const failed = rows.filter(({ broken }) => broken.length > 0).length;
  return (
    `${rows.length} rows, ${sum(({ acknowledged }) => acknowledged)} metrics acknowledged, ` +
    `${sum(({ refused }) => refused)} refused, ${sum(({ unknown }) => unknown)} unknown; ` +
    `in the ${strict.length} rows that promise to lose nothing: ${number(lostOfStrict)} lost; ` +
    `refused but stored: ${sum(({ refusedButStored }) => refusedButStored)}; ` +
    `${failed === 0 ? 'every promise held' : `in ${failed} a promise did not hold`}.`
  );
}

export function reliabilityPage(info: RunInfo, rows: readonly Row[]): string {
  return `${PREFACE}
Made by \`${info.command}\` on ${info.date}, commit ${info.commit}; ${info.machine}. The same figures for programs:
[reliability.json](reliability.json).

${summaryOf(rows)}

${tableOf(rows)}
`;
}
