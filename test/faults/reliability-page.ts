/** docs/reliability.md, made of the tallies of a run. */
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
  /** What did not hold; empty where all did. */
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

const PREFACE = `# Reliability

What the server promises while something breaks, and what was seen when it was broken. Each fault is put into the built
server under load and judged from outside: every metric has a name of its own, the client writes down what it was told
(acknowledged, refused, or unknown: a 504, a reset, no answer), and afterwards the files are read line by line. What was
acknowledged must be there once, what was refused not at all, nothing twice and nothing that was not sent; then
\`verify\` checks every seal. How the files survive is told in [durability.md](durability.md); how the load is tracked in
[testing.md](testing.md).

Files are kept small (64 KiB), so that rotations fall into every fault; the column *files* counts those begun. *Recovery*
is the slowest time from the end of the fault, or from the start of the next process, to the first metric stored again.
*Lost* under \`received\` and \`written\` is shown with its bound: the metrics that the server's own gauges
(\`queue_bytes\`, \`unsynced_metrics\`) named as not yet safe just before the fault, and those it acknowledged since.

Put in where: writes and syncs fail at the seam between writer and file system (\`FileOps\`), one row by the kernel under
\`strace\`; disks fill and lose power as real file systems (tmpfs, ext4 on a loop device; the
server is stopped a moment before the power goes, since a machine without power answers nobody); clocks jump by \`libfaketime\`;
threads throw or are terminated by a preloaded module. The server has no code for any of it but the seam.
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
## Results

Made by \`${info.command}\` on ${info.date}, commit ${info.commit}; ${info.machine}. CI runs the short form of the
same cases (\`test/faults/suite.test.ts\`). The figures of this run: [reliability.json](results/reliability.json).

${summaryOf(rows)}

${tableOf(rows)}
`;
}
