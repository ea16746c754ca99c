/**
 * How many locks the limiter needs: 1, 64, 1,024, one for each of its 10,007 sets, or none (the lock-free limiter). 1, 2 and 4 threads charge 10,000
 * clients in random order, or all of them the same client. No number of locks can help a single client; it is charged
 * once with its lock beside its slot and once with its lock elsewhere, since that does matter.
 *
 * Each number of locks has a process of its own, whose threads stay for its rounds; the processes start anew three
 * times. Every round charges a fixed number of times between two barriers, and the table must have counted each charge
 * once. `--report DIR` writes limiter-locks.json and .svg.
 */
import { availableParallelism } from 'node:os';
import { withForks } from '../harness/forks.ts';
import { roundsOr, smokeRun } from '../harness/options.ts';
import { type Measurement, runComponent } from '../harness/publish.ts';
import { baselineOf, takeTurns } from '../harness/turns.ts';
import { lineChart } from '../report/line-chart.ts';
import { type Column, quartileColumns, tableOf } from '../report/table.ts';
import { mean, medianOf, quartilesOfEach } from '../statistics.ts';
import {
  CLIENTS,
  type Clients,
  LOCK_COUNTS,
  LOCK_FREE,
  SEED,
  THREAD_COUNTS,
  workloadDigest,
} from './cases.ts';
import type { CrewFigures, CrewRound } from './crew.ts';

const CHARGES = smokeRun ? 2_000 : 50_000;
/** Two processes of the same code may differ by a fifth (addresses, compilation), so each starts several times. */
const GENERATIONS = smokeRun ? 1 : 3;
const ROUNDS_EACH = smokeRun ? 0 : Math.ceil(roundsOr(9) / GENERATIONS);
/** A round is repeated at most so often, and not later than so many milliseconds after the start. */
const ATTEMPTS = smokeRun ? 1 : 12;
const RETRY_MS = 80_000;

interface Cell {
  readonly clients: Clients;
  readonly threads: number;
  readonly locks: number;
}

type CellResult = ReturnType<typeof summarize>[number];

const CELLS: readonly Cell[] = CLIENTS.flatMap((clients) =>
  THREAD_COUNTS.flatMap((threads) => LOCK_COUNTS.map((locks) => ({ clients, threads, locks }))),
);

type AskCrew = (name: string, round: CrewRound) => Promise<CrewFigures>;

/** Cores that a round should have had: those it could use, less the share that measuring itself uses. */
const coresWanted = ({ threads }: Cell): number => 0.85 * Math.min(threads, availableParallelism());

/**
 * One round of one cell. Threads that do not run at the same time do not meet at a lock, so a round whose cores went to
 * neighbours is repeated; the attempt with the most cores counts. Rounds are short (5 to 25 ms), so that one without
 * neighbours comes soon.
 */
async function playRound(ask: AskCrew, cell: Cell): Promise<CrewFigures> {
  const order: CrewRound = { clients: cell.clients, threads: cell.threads, charges: CHARGES };
  let best: CrewFigures | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (best !== undefined && performance.now() > RETRY_MS) break;
    const figures = await ask(String(cell.locks), order);
    if (best === undefined || figures.cores > best.cores) best = figures;
    if (best.cores >= coresWanted(cell)) break;
  }
  return best!;
}

/** All rounds of all cells, in several generations of processes. */
async function measure(): Promise<Map<Cell, CrewFigures[]>> {
  const script = new URL('./crew.js', import.meta.url);
  const forks = LOCK_COUNTS.map((locks) => ({ name: String(locks), script, args: [String(locks)] }));
  const measured = new Map<Cell, CrewFigures[]>(CELLS.map((cell) => [cell, []]));
  for (let generation = 0; generation < GENERATIONS; generation++) {
    const rounds = await withForks(forks, (ask) =>
      takeTurns(CELLS, ROUNDS_EACH, (cell) => playRound(ask as AskCrew, cell)),
    );
    for (const [cell, figures] of rounds) measured.get(cell)!.push(...figures);
  }
  return measured;
}

function summarize(measured: ReadonlyMap<Cell, readonly CrewFigures[]>) {
  return CELLS.map((cell) => {
    const own = measured.get(cell)!;
    const base = baselineOf(measured, cell, { locks: 1 });
    const { wallNs, cpuNs, perSecond } = quartilesOfEach(own);
    return {
      ...cell,
      ...{ wallNs, cpuNs, perSecond },
      /** CPU time over wall time: less than the threads and cores there are if neighbours had the rest. */
      cores: medianOf(own.map(({ cores }) => cores)),
      /** Charges a second against the same with one lock: median of the rounds' ratios. */
      ratio: medianOf(own.map((figures, round) => figures.perSecond / base[round]!.perSecond)),
      /** Shares of all charges: found the lock held; slept; gave up after the limiter's bound of 1 ms. */
      contended: mean(own.map(({ contended }) => contended)),
      slept: mean(own.map(({ slept }) => slept)),
      busy: mean(own.map(({ busy }) => busy)),
    };
  });
}

const millions = (value: number): string => (value / 1e6).toFixed(1);

const COLUMNS: readonly Column<CellResult>[] = [
  ['clients', ({ clients }) => clients],
  ['threads', ({ threads }) => String(threads)],
  ['locks', ({ locks }) => (locks === LOCK_FREE ? 'none' : String(locks))],
  ...quartileColumns<CellResult>(
    'ns/charge',
    ({ wallNs }) => wallNs,
    (ns) => ns.toFixed(0),
  ),
  ['CPU ns', ({ cpuNs }) => cpuNs.p50.toFixed(0)],
  ['cores', ({ cores }) => cores.toFixed(1)],
  ...quartileColumns<CellResult>('M charges/s', ({ perSecond }) => perSecond, millions),
  ['× 1 lock', ({ ratio }) => ratio.toFixed(2)],
  ['held', ({ contended }) => `${(contended * 100).toFixed(2)}%`],
  ['slept', ({ slept }) => `${(slept * 100).toFixed(3)}%`],
  ['busy', ({ busy }) => `${(busy * 1e6).toFixed(1)} ppm`],
];

function chart(results: readonly CellResult[]): string {
  const series = (['many', 'last set'] as const).flatMap((clients) =>
    [...THREAD_COUNTS].reverse().map((threads) => ({
      name: `${threads} thread${threads === 1 ? '' : 's'}, ${clients === 'many' ? '10,000 clients' : 'one client'}`,
      points: results
        .filter(
          (result) => result.clients === clients && result.threads === threads && result.locks !== LOCK_FREE,
        )
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
    xTicks: LOCK_COUNTS.filter((locks) => locks !== LOCK_FREE),
    xText: (value) => value.toLocaleString('en'),
  });
}

interface Figures extends Measurement {
  /** By each thread in each round. */
  readonly charges: number;
  readonly results: readonly CellResult[];
}

await runComponent<Figures>({
  title: 'limiter locks',
  name: 'limiter-locks',
  measure: async () => {
    const measured = await measure();
    if (smokeRun) return `${CELLS.length} cases`;
    const origin = { rounds: GENERATIONS * ROUNDS_EACH, seed: SEED, digest: workloadDigest() };
    return { ...origin, charges: CHARGES, results: summarize(measured) };
  },
  tables: ({ results }) => ({ charges: tableOf(COLUMNS, results) }),
  charts: ({ results }) => ({ 'limiter-locks.svg': chart(results) }),
});
