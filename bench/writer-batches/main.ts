/**
 * Lines per commit: what a commit of 1, 10, 100 or 1,000 lines gives and risks, with the writer that stores each
 * request by itself and the one that commits in groups, under `--ack written` and `synced`.
 *
 * A thread serves 1 or 64 clients that each send the next request when the last is stored, so one client shows what a
 * single commit costs and 64 what a group gathers. Each writer has a process of its own for each `--ack`; the processes
 * take turns within a round. All lines stored are checked first, seals and order included, and counted in each round.
 *
 * The loss window is what a power loss could take of lines that were acknowledged: the most that was unsynced at any
 * moment, and how much time of the same load that is. Files go to the temporary directory: point TMPDIR at the disk in
 * question. Options as in harness.ts; besides, `--report DIR` writes writer-batches.json and .svg there.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer, jsonOutput, machine, only, rounds, type Spread, smokeRun, spreadOf } from '../harness.ts';
import { lineChart } from '../plot/line-chart.ts';
import { CLIENT_COUNTS, REQUEST_LINES, SEED, WORKLOAD_DIGEST } from './cases.ts';
import type { BatchFigures, BatchRound } from './child.ts';
import { ACKS, type BenchedAck, WRITERS, type WriterName } from './store.ts';

const TITLE = 'writer batches';
const ROUNDS = smokeRun ? 1 : Math.ceil(rounds / 3);
/** The server's default, which bounds the loss window under `written`. */
const SYNC_INTERVAL_MS = smokeRun ? 10 : 1_000;
/** Under `written` longer than that, so that the window is reached. */
const ROUND_MS = smokeRun
  ? { written: 20, synced: 20 }
  : {
      written: Number(process.env.BENCH_ROUND_MS ?? 2_500),
      synced: Number(process.env.BENCH_ROUND_MS ?? 1_000),
    };

interface Cell {
  readonly ack: BenchedAck;
  readonly clients: number;
  readonly writer: WriterName;
  readonly requestLines: number;
}

type Spreads = { readonly [Figure in keyof BatchFigures]: Spread };

interface CellResult extends Cell, Spreads {
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

async function startProcesses(): Promise<Map<string, ChildProcess>> {
  const script = fileURLToPath(new URL('./child.js', import.meta.url));
  const processes = new Map<string, ChildProcess>();
  for (const ack of ACKS) {
    for (const writer of WRITERS) {
      const child = fork(script, [writer, ack, String(SYNC_INTERVAL_MS)]);
      processes.set(processOf({ writer, ack }), child);
      await answer(child, processOf({ writer, ack }));
    }
  }
  return processes;
}

async function measure(): Promise<Map<Cell, BatchFigures[]>> {
  const measured = new Map<Cell, BatchFigures[]>(CELLS.map((cell) => [cell, []]));
  const processes = await startProcesses();
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const cell of CELLS) {
        const child = processes.get(processOf(cell))!;
        const { requestLines, clients, ack } = cell;
        child.send({ requestLines, clients, ms: ROUND_MS[ack] } satisfies BatchRound);
        measured.get(cell)!.push((await answer(child, processOf(cell))) as BatchFigures);
      }
    }
  } finally {
    const ended = [...processes.values()].map((child) => new Promise((done) => child.once('exit', done)));
    for (const child of processes.values()) child.disconnect();
    await Promise.all(ended);
  }
  return measured;
}

function summarize(measured: ReadonlyMap<Cell, readonly BatchFigures[]>): CellResult[] {
  return CELLS.map((cell) => {
    const own = measured.get(cell)!;
    const figures = Object.keys(own[0]!) as (keyof BatchFigures)[];
    const spreads = Object.fromEntries(
      figures.map((figure) => [figure, spreadOf(own.map((round) => round[figure]))]),
    ) as Spreads;
    const base = CELLS.find(
      ({ ack, clients, writer, requestLines }) =>
        ack === cell.ack &&
        clients === cell.clients &&
        requestLines === cell.requestLines &&
        writer === 'synchronous',
    )!;
    const ratios = own.map(
      ({ linesPerSecond }, round) => linesPerSecond / measured.get(base)![round]!.linesPerSecond,
    );
    const losses = own.map(({ unsyncedLines, linesPerSecond }) => (unsyncedLines * 1e3) / linesPerSecond);
    return { ...cell, ...spreads, lossMs: spreadOf(losses).p50, ratio: spreadOf(ratios).p50 };
  });
}

const significant = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

const COLUMNS: readonly (readonly [string, (result: CellResult) => string])[] = [
  ['lines/request', ({ requestLines }) => requestLines.toLocaleString('en')],
  ['lines/commit', ({ commitLines }) => significant.format(commitLines.p50)],
  ['lines/s', ({ linesPerSecond }) => significant.format(linesPerSecond.p50)],
  ['p25–p75', ({ linesPerSecond: { p25, p75 } }) => `${significant.format(p25)}–${significant.format(p75)}`],
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

/** One table for each `--ack` and number of clients, in Markdown. */
function tables(results: readonly CellResult[]): string {
  const blocks = ACKS.flatMap((ack) =>
    CLIENT_COUNTS.map((clients) => {
      const rows = WRITERS.flatMap((writer) =>
        results.filter(
          (result) => result.ack === ack && result.clients === clients && result.writer === writer,
        ),
      );
      const head = ['writer', ...COLUMNS.map(([title]) => title)];
      const lines = [
        `\`${ack}\`, ${clients === 1 ? 'one client' : `${clients} clients`}:\n`,
        `| ${head.join(' | ')} |`,
        `|---|${'--:|'.repeat(COLUMNS.length)}`,
        ...rows.map(
          (result) => `| ${[result.writer, ...COLUMNS.map(([, text]) => text(result))].join(' | ')} |`,
        ),
      ];
      return lines.join('\n');
    }),
  );
  return blocks.join('\n\n');
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

function reportDir(): string | undefined {
  const at = process.argv.indexOf('--report');
  return at < 0 ? undefined : process.argv[at + 1];
}

async function main(): Promise<void> {
  if (!TITLE.includes(only)) return;
  const measured = await measure();
  if (smokeRun) {
    console.log(`${TITLE}: ${CELLS.length} cases verified`);
    return;
  }
  const results = summarize(measured);
  const figures = {
    ...{ title: TITLE, machine: machine(), seed: SEED, digest: WORKLOAD_DIGEST },
    ...{ rounds: ROUNDS, roundMs: ROUND_MS, results },
  };
  if (jsonOutput) console.log(JSON.stringify(figures));
  else {
    console.log(`\n${TITLE}\n  ${figures.machine}; ${ROUNDS} rounds in turns`);
    console.log(`  workload: seed ${SEED}, digest ${WORKLOAD_DIGEST}\n\n${tables(results)}`);
  }
  const dir = reportDir();
  if (dir === undefined) return;
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'writer-batches.json'), `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(join(dir, 'writer-batches.svg'), chart(results));
}

await main();
