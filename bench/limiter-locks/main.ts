/**
 * How many locks the limiter needs: 1, 64, 1,024 or one for each of its 10,007 sets, with 1, 2 and 4 threads that charge
 * 10,000 clients in random order, or all of them the same one. For a single client no number of locks can help; it is
 * charged once where its lock stands beside its slot and once where it does not, since that does.
 *
 * Each number of locks has a process of its own, whose threads stay for its rounds; the processes take turns within a
 * round and are started anew three times. Every round charges a fixed number of times between two barriers and is
 * checked: the table must have counted each charge once. Options as in harness.ts; besides, `--report DIR` writes
 * limiter-locks.md, .json and .svg there.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer, jsonOutput, machine, only, rounds, type Spread, smokeRun, spreadOf } from '../harness.ts';
import { lineChart } from '../plot/line-chart.ts';
import { CLIENTS, type Clients, LOCK_COUNTS, SEED, THREAD_COUNTS, workloadDigest } from './cases.ts';
import type { CrewFigures, CrewRound } from './crew.ts';

const TITLE = 'limiter locks';
const CHARGES = smokeRun ? 2_000 : 50_000;
/** Two processes of the same code may differ by a fifth (addresses, compilation), so each is started several times. */
const GENERATIONS = smokeRun ? 1 : 3;
const ROUNDS_EACH = smokeRun ? 0 : Math.ceil(rounds / GENERATIONS);
/** How often a round is made at most, and until when, in milliseconds from the start, rounds are made again. */
const ATTEMPTS = smokeRun ? 1 : 12;
const RETRY_MS = 80_000;

interface Cell {
  readonly clients: Clients;
  readonly threads: number;
  readonly locks: number;
}

interface CellResult extends Cell {
  readonly wallNs: Spread;
  readonly cpuNs: Spread;
  readonly perSecond: Spread;
  /** CPU time over wall time: below the threads and cores there are, neighbours had the rest. */
  readonly cores: number;
  /** Charges a second against the same with one lock: median of the rounds' ratios. */
  readonly ratio: number;
  /** Shares of all charges: found the lock held; slept; gave up after the limiter's bound of 1 ms. */
  readonly contended: number;
  readonly slept: number;
  readonly busy: number;
}

const CELLS: readonly Cell[] = CLIENTS.flatMap((clients) =>
  THREAD_COUNTS.flatMap((threads) => LOCK_COUNTS.map((locks) => ({ clients, threads, locks }))),
);

async function startCrews(): Promise<Map<number, ChildProcess>> {
  const script = fileURLToPath(new URL('./crew.js', import.meta.url));
  const crews = new Map<number, ChildProcess>();
  for (const locks of LOCK_COUNTS) {
    const child = fork(script, [String(locks)]);
    crews.set(locks, child);
    // One after the other: a crew verifies first, and four at once would only wait for each other.
    await answer(child, `${locks} locks`);
  }
  return crews;
}

/** Cores that a round should have had: what it could use, less what measuring itself takes. */
function coresWanted({ threads }: Cell): number {
  return 0.85 * Math.min(threads, availableParallelism());
}

/**
 * One round of one cell. Threads that do not run at the same time do not meet at a lock, so where neighbours had the
 * cores the round is made again; the attempt with the most cores counts. Rounds are short (5 to 25 ms), so that one
 * without neighbours is found soon.
 */
async function playRound(crew: ChildProcess, cell: Cell): Promise<CrewFigures> {
  const order: CrewRound = { clients: cell.clients, threads: cell.threads, charges: CHARGES };
  let best: CrewFigures | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (best !== undefined && performance.now() > RETRY_MS) break;
    crew.send(order);
    const figures = (await answer(crew, `${cell.locks} locks`)) as CrewFigures;
    if (best === undefined || figures.cores > best.cores) best = figures;
    if (best.cores >= coresWanted(cell)) break;
  }
  return best!;
}

/** Warms the crews up by a first round, then adds the figures of `count` rounds. */
async function takeTurns(
  crews: ReadonlyMap<number, ChildProcess>,
  count: number,
  measured: ReadonlyMap<Cell, CrewFigures[]>,
): Promise<void> {
  for (let round = 0; round <= count; round++) {
    for (const cell of CELLS) {
      const figures = await playRound(crews.get(cell.locks)!, cell);
      if (round > 0) measured.get(cell)!.push(figures);
    }
  }
}

/** All rounds of all cells, in several generations of crews. */
async function measure(): Promise<Map<Cell, CrewFigures[]>> {
  const measured = new Map<Cell, CrewFigures[]>(CELLS.map((cell) => [cell, []]));
  for (let generation = 0; generation < GENERATIONS; generation++) {
    const crews = await startCrews();
    try {
      await takeTurns(crews, ROUNDS_EACH, measured);
    } finally {
      for (const crew of crews.values()) crew.disconnect();
    }
  }
  return measured;
}

function summarize(measured: ReadonlyMap<Cell, readonly CrewFigures[]>): CellResult[] {
  return CELLS.map((cell) => {
    const own = measured.get(cell)!;
    const oneLock = CELLS.find(
      ({ clients, threads, locks }) => clients === cell.clients && threads === cell.threads && locks === 1,
    )!;
    const base = measured.get(oneLock)!;
    const mean = (pick: (figures: CrewFigures) => number): number =>
      own.reduce((total, figures) => total + pick(figures), 0) / own.length;
    return {
      ...cell,
      wallNs: spreadOf(own.map(({ wallNs }) => wallNs)),
      cpuNs: spreadOf(own.map(({ cpuNs }) => cpuNs)),
      perSecond: spreadOf(own.map(({ perSecond }) => perSecond)),
      cores: spreadOf(own.map(({ cores }) => cores)).p50,
      ratio: spreadOf(own.map(({ perSecond }, round) => perSecond / base[round]!.perSecond)).p50,
      contended: mean(({ contended }) => contended),
      slept: mean(({ slept }) => slept),
      busy: mean(({ busy }) => busy),
    };
  });
}

/** A column of the table: its head, and what stands in a row. */
const COLUMNS: readonly (readonly [string, (result: CellResult) => string])[] = [
  ['client(s)', ({ clients }) => clients],
  ['threads', ({ threads }) => String(threads)],
  ['locks', ({ locks }) => String(locks)],
  ['ns/charge', ({ wallNs }) => wallNs.p50.toFixed(0)],
  ['p25–p75', ({ wallNs }) => `${wallNs.p25.toFixed(0)}–${wallNs.p75.toFixed(0)}`],
  ['CPU ns', ({ cpuNs }) => cpuNs.p50.toFixed(0)],
  ['cores', ({ cores }) => cores.toFixed(1)],
  ['M charges/s', ({ perSecond }) => millions(perSecond.p50)],
  ['p25–p75', ({ perSecond }) => `${millions(perSecond.p25)}–${millions(perSecond.p75)}`],
  ['× 1 lock', ({ ratio }) => ratio.toFixed(2)],
  ['held', ({ contended }) => `${(contended * 100).toFixed(2)}%`],
  ['slept', ({ slept }) => `${(slept * 100).toFixed(3)}%`],
  ['busy', ({ busy }) => `${(busy * 1e6).toFixed(1)} ppm`],
];

function millions(value: number): string {
  return (value / 1e6).toFixed(1);
}

function textOf(results: readonly CellResult[], digest: string): string {
  const rows = [
    COLUMNS.map(([head]) => head),
    ...results.map((result) => COLUMNS.map(([, text]) => text(result))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return [
    `${TITLE}: hash, lookup and locked bucket; ${CHARGES} charges a thread and round`,
    `  ${machine()}; ${GENERATIONS} × ${ROUNDS_EACH} rounds in turns`,
    `  workload: seed ${SEED}, digest ${digest}`,
    ...rows.map((row) => row.map((text, column) => text.padStart(widths[column]! + 2)).join('')),
  ].join('\n');
}

function chart(results: readonly CellResult[]): string {
  const series = (['many', 'last set'] as const).flatMap((clients) =>
    [...THREAD_COUNTS].reverse().map((threads) => ({
      name: `${threads} thread${threads === 1 ? '' : 's'}, ${clients === 'many' ? '10,000 clients' : 'one client'}`,
      points: results
        .filter((result) => result.clients === clients && result.threads === threads)
        .map(({ locks, perSecond }) => [locks, perSecond.p50 / 1e6] as const),
    })),
  );
  return lineChart({
    title: 'Charges a second, all threads together',
    xLabel: 'locks',
    yLabel: 'million charges a second',
    xScale: 'log',
    yScale: 'linear',
    series,
    xTicks: LOCK_COUNTS,
    xText: (value) => value.toLocaleString('en'),
  });
}

function markdownOf(text: string): string {
  return `# Locks of the limiter

Command: \`node dist/bench/limiter-locks/main.js --report DIR\`. *cores*: CPU time over wall time. *held*: charges that
found their lock held; *slept*: sleeps on a lock; *busy*: charges given up after 1 ms; all as shares of the charges.
*first set*, *last set*: all threads charge one client, beside the first lock or apart from it; *many*: 10,000.

\`\`\`
${text}
\`\`\`

![Charges a second over the number of locks](limiter-locks.svg)
`;
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
  const digest = workloadDigest();
  const figures = {
    title: TITLE,
    machine: machine(),
    seed: SEED,
    digest,
    rounds: GENERATIONS * ROUNDS_EACH,
    charges: CHARGES,
    results,
  };
  if (jsonOutput) console.log(JSON.stringify(figures));
  else console.log(`\n${textOf(results, digest)}`);
  const dir = reportDir();
  if (dir === undefined) return;
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'limiter-locks.json'), `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(join(dir, 'limiter-locks.svg'), chart(results));
  writeFileSync(join(dir, 'limiter-locks.md'), markdownOf(textOf(results, digest)));
}

await main();
