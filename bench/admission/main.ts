/**
 * `npm run bench:admission`: admission policies over storage that is slower than what arrives, in virtual time:
 * goodput, delay of what was admitted, share refused. The same seed gives the same figures on any machine.
 *
 * `--load=N` sets what arrives, in multiples of what the storage can take (default 3); `--seed=N`.
 */
import { options, smokeRun } from '../harness/options.ts';
import { type Column, markdownTable, tableOf } from '../report/table.ts';
import { adaptive, codel, fixedConcurrency, gradient2, staticBounds } from './policies.ts';
import { type Figures, peakBytes, type Scenario, type Storage, simulate } from './storage-model.ts';

const TARGET_MS = 50;
const WORKERS = 2;
/** The lines of 100 metrics. */
const REQUEST_BYTES = 12_000;
const DURATION_MS = 10_000;
const WARM_UP_MS = 1_000;
/** Requests per worker that a 200 MB/s disk holds for the target delay. */
const FIXED_REQUESTS = 400;

const load = Number(options.load ?? 3);
const seed = Number(options.seed ?? 1);

const FAST: Storage = { fixedMs: 0.2, msPerMib: 5 };

const STORAGES: readonly { readonly name: string; readonly at: (nowMs: number) => Storage }[] = [
  { name: '0.2 ms + 200 MB/s', at: () => FAST },
  { name: '2 ms + 50 MB/s', at: () => ({ fixedMs: 2, msPerMib: 20 }) },
  { name: '1 ms + 10 MB/s', at: () => ({ fixedMs: 1, msPerMib: 100 }) },
  { name: '10 ms + 20 MB/s', at: () => ({ fixedMs: 10, msPerMib: 50 }) },
  { name: '25 MB/s, never below 10 ms', at: () => ({ fixedMs: 0, msPerMib: 40, leastMs: 10 }) },
  { name: '200 MB/s, a tenth of it for 4 s', at: (nowMs) => slowFor(nowMs, 3_000, 7_000) },
];

function slowFor(nowMs: number, fromMs: number, toMs: number): Storage {
  return nowMs < fromMs || nowMs >= toMs ? FAST : { fixedMs: 2, msPerMib: 50 };
}

const POLICIES = [
  staticBounds,
  fixedConcurrency(FIXED_REQUESTS),
  codel(TARGET_MS, 2 * TARGET_MS),
  gradient2,
  adaptive(TARGET_MS),
];

function scenarioOf(storage: (nowMs: number) => Storage): Scenario {
  return {
    storage,
    workers: WORKERS,
    ringBytes: 8 << 20,
    queueTasks: 5_000,
    requestBytes: REQUEST_BYTES,
    arrivals: (nowMs) => load * peakBytes(storage(nowMs)),
    durationMs: smokeRun ? 2 * WARM_UP_MS : DURATION_MS,
    measureFromMs: WARM_UP_MS,
    noise: 0.15,
    seed,
  };
}

/** Capacity of the storage in the measured time, per second. */
function meanPeak({ storage, durationMs, measureFromMs }: Scenario): number {
  let sum = 0;
  for (let nowMs = measureFromMs; nowMs < durationMs; nowMs++) sum += peakBytes(storage(nowMs));
  return sum / (durationMs - measureFromMs);
}

interface Row {
  readonly storage: string;
  readonly policy: string;
  readonly peak: number;
  readonly figures: Figures;
}

const ms = (value: number): string => `${Math.round(value)} ms`;

const COLUMNS: readonly Column<Row>[] = [
  ['storage', ({ storage }) => storage],
  ['policy', ({ policy }) => policy],
  ['goodput of peak', ({ peak, figures }) => `${Math.round((100 * figures.goodputBytes) / peak)}%`],
  ['p50', ({ figures }) => ms(figures.p50Ms)],
  ['p99', ({ figures }) => ms(figures.p99Ms)],
  [
    'refused',
    ({ figures: { refused, admitted } }) => `${Math.round((100 * refused) / (refused + admitted))}%`,
  ],
];

const rows = STORAGES.flatMap(({ name: storage, at }) => {
  const scenario = scenarioOf(at);
  const peak = meanPeak(scenario);
  return POLICIES.map(({ name: policy, open }) => ({
    storage,
    policy,
    peak,
    figures: simulate(scenario, open),
  }));
});
console.log(
  `Load ${load} × peak, target ${TARGET_MS} ms, ${WORKERS} workers, ${REQUEST_BYTES} bytes, seed ${seed}\n`,
);
console.log(markdownTable(tableOf(COLUMNS, rows)));
