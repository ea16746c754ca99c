/**
 * Lines per commit: the gain and the risk of a commit of 1, 10, 100 or 1,000 lines, with the writer that stores each
 * request by itself and the writer that commits in groups, under `--ack written` and `synced`.
 *
 * A thread serves 1 or 64 clients that each send the next request when the last is stored. Each writer has a process of
 * its own for each `--ack`. First all stored lines are checked, seals and order included; each round counts its lines.
 * docs/results/writer-batches.md says how to read the figures. Files go to the temporary directory: point TMPDIR at the
 * disk in question.
 */
import { withForks } from '../harness/forks.ts';
import { roundMsOr, roundsOr, smokeRun } from '../harness/options.ts';
import { type Measurement, runComponent } from '../harness/publish.ts';
import { baselineOf, takeTurns } from '../harness/turns.ts';
import { lineChart } from '../report/line-chart.ts';
import { type Column, quartileColumns, type Table, tableOf } from '../report/table.ts';
import { medianOf, type QuartilesOf, quartilesOfEach } from '../statistics.ts';
import { CLIENT_COUNTS, REQUEST_LINES, SEED, WORKLOAD_DIGEST } from './cases.ts';
import type { BatchFigures, BatchRound } from './child.ts';
import { ACKS, type BenchedAck, WRITERS, type WriterName } from './store.ts';

const ROUNDS = smokeRun ? 1 : Math.ceil(roundsOr(9) / 3);
/** The server's default, which bounds the loss window under `written`. */
const SYNC_INTERVAL_MS = smokeRun ? 10 : 1_000;
/** Under `written` longer than that, so that the window is reached. */
const ROUND_MS = smokeRun
  ? { written: 20, synced: 20 }
  : { written: roundMsOr(2_500), synced: roundMsOr(1_000) };

interface Cell {
  readonly ack: BenchedAck;
  readonly clients: number;
  readonly writer: WriterName;
  readonly requestLines: number;
}

interface CellResult extends Cell, QuartilesOf<BatchFigures> {
  /** How long the load needs for the lines of the loss window. */
  readonly lossMs: number;
  /** Lines a second against the synchronous writer: median of the rounds' ratios. */
  readonly ratio: number;
}

const CELLS: readonly Cell[] = ACKS.flatMap((ack) =>
  CLIENT_COUNTS.flatMap((clients) =>
    // The two that are compared come one after the other.
    REQUEST_LINES.flatMap((requestLines) =>
      WRITERS.map((writer) => ({ ack, clients, writer, requestLines })),
    ),
  ),
);

const processOf = ({ writer, ack }: Pick<Cell, 'writer' | 'ack'>): string => `${writer}, ${ack}`;

function measure(): Promise<Map<Cell, BatchFigures[]>> {
  const script = new URL('./child.js', import.meta.url);
  const forks = ACKS.flatMap((ack) =>
    WRITERS.map((writer) => ({
      name: processOf({ writer, ack }),
      script,
      args: [writer, ack, String(SYNC_INTERVAL_MS)],
    })),
  );
  return withForks(forks, (ask) =>
    takeTurns(
      CELLS,
      ROUNDS,
      (cell) => {
        const { requestLines, clients, ack } = cell;
        const round: BatchRound = { requestLines, clients, ms: ROUND_MS[ack] };
        return ask(processOf(cell), round) as Promise<BatchFigures>;
      },
      0,
    ),
  );
}

function summarize(measured: ReadonlyMap<Cell, readonly BatchFigures[]>): CellResult[] {
  return CELLS.map((cell) => {
    const own = measured.get(cell)!;
    const base = baselineOf(measured, cell, { writer: 'synchronous' });
    return {
      ...cell,
      ...quartilesOfEach(own),
      lossMs: medianOf(
        own.map(({ unsyncedLines, linesPerSecond }) => (unsyncedLines * 1e3) / linesPerSecond),
      ),
      ratio: medianOf(own.map(({ linesPerSecond }, round) => linesPerSecond / base[round]!.linesPerSecond)),
    };
  });
}

const significant = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

const COLUMNS: readonly Column<CellResult>[] = [
  ['writer', ({ writer }) => writer],
  ['lines/request', ({ requestLines }) => requestLines.toLocaleString('en')],
  ['lines/commit', ({ commitLines }) => significant.format(commitLines.p50)],
  ...quartileColumns<CellResult>('lines/s', ({ linesPerSecond }) => linesPerSecond, significant.format),
  ['×', ({ ratio }) => significant.format(ratio)],
  ['CPU s/M lines', ({ cpuSeconds }) => significant.format(cpuSeconds.p50)],
  ['syncs/s', ({ syncsPerSecond }) => significant.format(syncsPerSecond.p50)],
  ['p50 ms', ({ p50Ms }) => significant.format(p50Ms.p50)],
  ['p99 ms', ({ p99Ms }) => significant.format(p99Ms.p50)],
  [
    'a power loss takes',
    ({ unsyncedLines, lossMs }) =>
      unsyncedLines.p50 === 0
        ? 'nothing'
        : `${significant.format(unsyncedLines.p50)} lines, ${significant.format(lossMs)} ms`,
  ],
];

/** One table for each `--ack` and number of clients, the writers one below the other. */
function tablesOf(results: readonly CellResult[]): Record<string, Table> {
  const entries = ACKS.flatMap((ack) =>
    CLIENT_COUNTS.map((clients) => {
      const own = results.filter((result) => result.ack === ack && result.clients === clients);
      const rows = WRITERS.flatMap((writer) => own.filter((result) => result.writer === writer));
      return [`${ack}-${clients}`, tableOf(COLUMNS, rows)] as const;
    }),
  );
  return Object.fromEntries(entries);
}

function chart(results: readonly CellResult[]): string {
  const clients = Math.max(...CLIENT_COUNTS);
  return lineChart({
    title: `Lines stored a second, ${clients} clients`,
    xLabel: 'lines a request',
    yLabel: 'lines a second',
    xScale: 'log',
    yScale: 'log',
    series: WRITERS.flatMap((writer) =>
      ACKS.map((ack) => ({
        name: `${writer}, ${ack}`,
        points: results
          .filter((result) => result.writer === writer && result.ack === ack && result.clients === clients)
          .map(({ requestLines, linesPerSecond }) => [requestLines, linesPerSecond.p50] as const),
      })),
    ),
    xTicks: REQUEST_LINES,
    xText: (value) => value.toLocaleString('en'),
  });
}

interface Figures extends Measurement {
  readonly roundMs: Readonly<Record<BenchedAck, number>>;
  readonly results: readonly CellResult[];
}

await runComponent<Figures>({
  title: 'writer batches',
  name: 'writer-batches',
  measure: async () => {
    const measured = await measure();
    if (smokeRun) return `${CELLS.length} cases`;
    const origin = { rounds: ROUNDS, seed: SEED, digest: WORKLOAD_DIGEST };
    return { ...origin, roundMs: ROUND_MS, results: summarize(measured) };
  },
  tables: ({ results }) => tablesOf(results),
  charts: ({ results }) => ({ 'writer-batches.svg': chart(results) }),
});
