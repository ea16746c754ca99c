/**
 * `npm run bench:workers`: the built server with 1, 2, 3, 4 and 8 workers on this machine's CPUs, driven by wrk. Shows
 * how throughput, CPU time, tail latency and group commits change with the number of threads that share the CPUs.
 *
 * Server and wrk share all CPUs, as a server and its neighbours do. Numbers of workers take turns within a round, and
 * ratios are formed within a round.
 */
import { Command } from 'commander';
import { memoryOf } from '../../load-test/server-process.ts';
import { measureInTurns } from '../harness/turns.ts';
import { publish, type Report, readRun } from '../report/document.ts';
import { mebibytes, minToMax, number, thousands, whole, withRange } from '../report/numbers.ts';
import { type Origin, originOf, originTable } from '../report/origin.ts';
import { type CellRow, type Column, columnsOver, markdownTables, tableOf } from '../report/table.ts';
import { rangeOf, ratiosWithinRounds, sum } from '../statistics.ts';
import {
  progress,
  renderOption,
  reportOption,
  runMain,
  scratchOption,
  wholeNumber,
} from '../under-test/command-line.ts';
import { readExposition, refusalsIn, sampleOf } from '../under-test/exposition.ts';
import { LOAD_CORE, REFUSES_NOTHING, serveArgs, startChild, withServer } from '../under-test/process.ts';
import { requireMachine, withDisk } from '../under-test/requirements.ts';
import { checkStored, countLines, dataFiles } from '../under-test/stored.ts';
import { contextSwitches, cpuSeconds, untilIdle } from '../under-test/usage.ts';
import { createWorkload, type Workload, writeWrkFiles } from '../under-test/workload.ts';
import { CONNECTIONS, runWrk } from '../under-test/wrk.ts';

const WORKERS = [1, 2, 3, 4, 8] as const;
const BATCHES = [1, 100] as const;
/** Optimising compilation of the hot paths ends within it. */
const WARM_UP_SECONDS = 1;
const FREE_BYTES = 4e9;
/** A lock's holder may lose its CPU while threads take turns, and a request that waits for the lock is refused. */
const REFUSED_SHARE_MAX = 0.01;
/** Baseline of the ratios: one worker for each CPU of this machine. */
const COMPARED_WITH = 2;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly smoke: boolean;
  readonly scratch: string;
  readonly report?: string;
  readonly render: boolean;
}

type Cell = Awaited<ReturnType<typeof measure>>;

interface Run extends Origin {
  readonly rounds: number;
  readonly seconds: number;
  readonly cells: readonly Cell[];
  readonly failures: readonly string[];
}

function parseOptions(): Options {
  return new Command('bench:workers')
    .description('Measures the built server with different numbers of workers, under wrk.')
    .option('--rounds <count>', 'how often each number of workers is measured', wholeNumber(1), 2)
    .option('--seconds <seconds>', 'length of each measured load', wholeNumber(1), 3)
    .option('--smoke', 'loads of a second that check the files; no figures', false)
    .addOption(reportOption('workers'))
    .addOption(renderOption('workers'))
    .addOption(scratchOption('bench-workers'))
    .parse()
    .opts<Options>();
}

function measure({ seconds, scratch }: Options, workers: number, workload: Workload, round: number) {
  const { batch } = workload;
  const start = (dataDir: string) =>
    startChild(serveArgs(dataDir, '--workers', `${workers}`, ...REFUSES_NOTHING), undefined);
  return withServer(scratch, start, async ({ pid, port, stop }, dataDir, directory) => {
    const usage = async () => ({
      cpu: cpuSeconds(pid),
      switches: contextSwitches(pid),
      commits: sampleOf(await readExposition(port), 'metricsstream_commits_total'),
    });
    const files = writeWrkFiles(directory, workload);
    const load = { port, files, connections: CONNECTIONS, core: LOAD_CORE };
    const warmUp = await runWrk({ ...load, seconds: WARM_UP_SECONDS });
    await untilIdle(pid);
    const before = await usage();
    const counts = await runWrk({ ...load, seconds });
    await untilIdle(pid);
    const after = await usage();
    const { residentBytes } = memoryOf(pid);
    /** Samples that say why requests were refused. */
    const refusals = refusalsIn(await readExposition(port));
    await stop();
    const refused = warmUp.refused + counts.refused;
    if (counts.socketErrors > 0 || refused > REFUSED_SHARE_MAX * counts.responses) {
      throw new Error([`${refused} refused, ${counts.socketErrors} socket errors`, ...refusals].join('; '));
    }
    checkStored(countLines(dataFiles(dataDir)), batch, [warmUp, counts]);
    const metrics = (counts.responses - counts.refused) * batch;
    const { p50Ms, p99Ms } = counts;
    return {
      ...{ round, workers, batch, residentBytes, refused, refusals, p50Ms, p99Ms },
      metricsPerSecond: metrics / counts.seconds,
      cpuSecondsPerMillion: ((after.cpu - before.cpu) / metrics) * 1e6,
      metricsPerCommit: metrics / (after.commits - before.commits),
      /** Of all threads of the server, over the load. */
      contextSwitchesPerRequest: (after.switches - before.switches) / counts.responses,
    };
  });
}

interface Row extends CellRow<Cell> {
  readonly workers: number;
  readonly ratios: readonly number[];
}

const tenths = (value: number): string => value.toFixed(1);
const figure = columnsOver<Cell>();

const COLUMNS: readonly Column<Row>[] = [
  ['workers', ({ workers }) => `${workers}`],
  figure('thousand metrics/s', (cell) => cell.metricsPerSecond, thousands),
  figure('spread', (cell) => cell.metricsPerSecond, thousands, minToMax),
  [`against ${COMPARED_WITH}`, ({ ratios }) => withRange(rangeOf(ratios), (ratio) => `${ratio.toFixed(2)}×`)],
  figure('CPU s/million metrics', (cell) => cell.cpuSecondsPerMillion),
  figure('p50 ms', (cell) => cell.p50Ms, tenths),
  figure('p99 ms', (cell) => cell.p99Ms, tenths, withRange),
  figure('metrics/commit', (cell) => cell.metricsPerCommit, whole),
  figure('context switches/request', (cell) => cell.contextSwitchesPerRequest),
  figure('RSS MiB', (cell) => cell.residentBytes, mebibytes),
  ['refused', ({ cells }) => whole(sum(cells.map(({ refused }) => refused)))],
];

function blocksOf(run: Run): Record<string, string> {
  const { cells, rounds, seconds } = run;
  const rowsAt = (batch: number): Row[] => {
    const ofWorkers = (count: number): Cell[] =>
      cells.filter((cell) => cell.batch === batch && cell.workers === count);
    return WORKERS.map((workers) => {
      const own = ofWorkers(workers);
      const ratios = ratiosWithinRounds(own, ofWorkers(COMPARED_WITH), (cell) => cell.metricsPerSecond);
      return { workers, cells: own, ratios };
    });
  };
  return {
    origin: originTable(run, { rounds, 'seconds a load': seconds, connections: CONNECTIONS }),
    ...markdownTables(
      Object.fromEntries(BATCHES.map((batch) => [`batch-${batch}`, tableOf(COLUMNS, rowsAt(batch))])),
    ),
  };
}

const REPORT: Report<Run> = { name: 'workers', title: 'Number of workers', blocks: blocksOf };

async function main(): Promise<number> {
  const given = parseOptions();
  const options = given.smoke ? { ...given, rounds: 1, seconds: 1 } : given;
  const { rounds, seconds, smoke, report, scratch } = options;
  if (options.render) {
    publish(REPORT, readRun(REPORT, report), report);
    return 0;
  }
  requireMachine();
  const cells = BATCHES.map(createWorkload).flatMap((workload) =>
    (smoke ? WORKERS.slice(0, 2) : WORKERS).map((workers) => ({ workers, workload })),
  );
  const nameOf = ({ workers, workload }: (typeof cells)[number]): string =>
    `${workers} workers, ${workload.batch} a request`;
  const turns = { title: 'round', rounds, cells, nameOf, progress };
  const { results, failures } = await withDisk(scratch, FREE_BYTES, () =>
    measureInTurns(turns, async ({ workers, workload }, round) => {
      const cell = await measure(options, workers, workload, round);
      const figure = `${whole(cell.metricsPerSecond)} metrics/s, p99 ${number(cell.p99Ms)} ms`;
      return [cell, smoke ? 'stored' : figure] as const;
    }),
  );
  if (smoke) console.log(`${results.length} loads stored what they acknowledged`);
  else {
    const origin = originOf('npm run bench:workers');
    publish(REPORT, { ...origin, rounds, seconds, cells: results, failures }, report);
  }
  return failures.length === 0 ? 0 : 1;
}

await runMain(main);
