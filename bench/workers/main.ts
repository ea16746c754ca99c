/**
 * `npm run bench:workers`: the built server with 1, 2, 3, 4 and 8 workers on this machine's CPUs, driven by wrk. How
 * throughput, CPU time, tail latency and group commits change with the number of threads that share the CPUs.
 *
 * Server and wrk share all CPUs, as a server and its neighbours do. Numbers of workers take turns within a round, so that
 * a noisy neighbour hits all alike; ratios are taken within a round.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { CONNECTIONS, REFUSES_NOTHING, WRK_CORE } from '../compare/cell.ts';
import { cpuSeconds, memoryOf, startChild, untilIdle } from '../compare/child.ts';
import { type Spread, spreadOf, table } from '../compare/report.ts';
import { scrape } from '../compare/scrape.ts';
import { countLines, dataFiles } from '../compare/stored.ts';
import { requireDisk, requireMachine } from '../compare/tools.ts';
import { createWorkload, type Workload, writeWrkFiles } from '../compare/workload.ts';
import { runWrk } from '../compare/wrk.ts';
import { machine } from '../harness.ts';

const WORKERS = [1, 2, 3, 4, 8] as const;
const BATCHES = [1, 100] as const;
/** Optimising compilation of most that runs ends within it. */
const WARM_UP_SECONDS = 1;
const FREE_BYTES = 4e9;
/** Where threads take turns, a lock's holder may lose its CPU, and a request that waited for it is refused. */
const REFUSED_SHARE_MAX = 0.01;
/** What the others are compared with: one for each CPU of this machine. */
const COMPARED_WITH = 2;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly smoke: boolean;
  readonly scratch: string;
  readonly report?: string;
}

interface Cell {
  readonly round: number;
  readonly workers: number;
  readonly batch: number;
  readonly metricsPerSecond: number;
  readonly cpuSecondsPerMillion: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly metricsPerCommit: number;
  /** Of all threads of the server, over the load. */
  readonly contextSwitchesPerRequest: number;
  readonly residentBytes: number;
  readonly refused: number;
  /** Samples that tell why requests were refused. */
  readonly refusals: readonly string[];
}

function parseOptions(): Options {
  return new Command('bench:workers')
    .description('The built server with different numbers of workers, under wrk.')
    .option('--rounds <count>', 'how often each number of workers is measured', Number, 2)
    .option('--seconds <seconds>', 'length of each measured load', Number, 3)
    .option('--smoke', 'loads of a second that check the files; no figures', false)
    .option('--report <directory>', 'writes workers.md and workers.json there')
    .option(
      '--scratch <directory>',
      'for data, on a disk; emptied afterwards',
      fileURLToPath(new URL('../../../.artifacts/bench-workers', import.meta.url)),
    )
    .parse()
    .opts<Options>();
}

/** Of all threads that live now: none of the server's end under load. */
function contextSwitches(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1');
    const counts = [...status.matchAll(/^(?:non)?voluntary_ctxt_switches:\s+(\d+)$/gm)];
    return sum + counts.reduce((total, [, count]) => total + Number(count), 0);
  }, 0);
}

async function commitsOf(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^metricsstream_commits_total (\d+)$/m.exec(text)?.[1]);
}

async function measure(
  { seconds, scratch }: Options,
  workers: number,
  workload: Workload,
  round: number,
): Promise<Cell> {
  const { batch } = workload;
  const directory = mkdtempSync(join(scratch, 'cell-'));
  const dataDir = join(directory, 'data');
  mkdirSync(dataDir);
  const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
  // A busy disk shall slow requests down and not refuse them: what was refused would not be compared.
  const patience = ['--request-timeout-ms', '60000', '--sync-timeout-ms', '60000'];
  const options = ['--workers', `${workers}`, ...REFUSES_NOTHING, ...patience];
  const child = await startChild(
    [main, 'serve', '--port', '0', '--data-dir', dataDir, ...options],
    undefined,
  );
  try {
    const files = writeWrkFiles(directory, workload);
    const load = { port: child.port, files, connections: CONNECTIONS, core: WRK_CORE };
    const warmUp = await runWrk({ ...load, seconds: WARM_UP_SECONDS });
    await untilIdle(child.pid);
    const before = {
      cpu: cpuSeconds(child.pid),
      switches: contextSwitches(child.pid),
      commits: await commitsOf(child.port),
    };
    const counts = await runWrk({ ...load, seconds });
    await untilIdle(child.pid);
    const cpu = cpuSeconds(child.pid) - before.cpu;
    const switches = contextSwitches(child.pid) - before.switches;
    const commits = (await commitsOf(child.port)) - before.commits;
    const { residentBytes } = memoryOf(child.pid);
    const { refusals } = await scrape(child.port);
    await child.stop();
    const refused = warmUp.refused + counts.refused;
    if (counts.socketErrors > 0 || refused > REFUSED_SHARE_MAX * counts.responses) {
      throw new Error([`${refused} refused, ${counts.socketErrors} socket errors`, ...refusals].join('; '));
    }
    const stored = countLines(dataFiles(dataDir));
    const acknowledged = (warmUp.responses + counts.responses - refused) * batch;
    // wrk stops with a request in flight on each connection.
    if (stored < acknowledged || stored > acknowledged + 2 * CONNECTIONS * batch) {
      throw new Error(`${stored} lines stored of ${acknowledged} acknowledged`);
    }
    const metrics = (counts.responses - counts.refused) * batch;
    return {
      ...{
        round,
        workers,
        batch,
        residentBytes,
        refused,
        refusals,
        p50Ms: counts.p50Ms,
        p99Ms: counts.p99Ms,
      },
      metricsPerSecond: metrics / counts.seconds,
      cpuSecondsPerMillion: (cpu / metrics) * 1e6,
      metricsPerCommit: metrics / commits,
      contextSwitchesPerRequest: switches / counts.responses,
    };
  } finally {
    child.kill();
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
  }
}

function rows(cells: readonly Cell[], batch: number): string[][] {
  const thousands = (value: number): string => (value / 1e3).toFixed(value < 1e5 ? 1 : 0);
  return WORKERS.map((workers) => {
    const own = cells.filter((cell) => cell.batch === batch && cell.workers === workers);
    const of = (pick: (cell: Cell) => number): Spread => spreadOf(own.map(pick));
    const ratio = spreadOf(
      own.map((cell) => {
        const other = cells.find(
          (base) => base.batch === batch && base.workers === COMPARED_WITH && base.round === cell.round,
        );
        return cell.metricsPerSecond / (other?.metricsPerSecond ?? Number.NaN);
      }),
    );
    const speed = of((cell) => cell.metricsPerSecond);
    const p99 = of((cell) => cell.p99Ms);
    return [
      `${workers}`,
      thousands(speed.median),
      `${thousands(speed.min)}–${thousands(speed.max)}`,
      `${ratio.median.toFixed(2)}× (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`,
      of((cell) => cell.cpuSecondsPerMillion).median.toFixed(2),
      of((cell) => cell.p50Ms).median.toFixed(1),
      `${p99.median.toFixed(1)} (${p99.min.toFixed(1)}–${p99.max.toFixed(1)})`,
      of((cell) => cell.metricsPerCommit).median.toFixed(0),
      of((cell) => cell.contextSwitchesPerRequest).median.toFixed(2),
      (of((cell) => cell.residentBytes).median / 2 ** 20).toFixed(0),
      `${own.reduce((sum, { refused }) => sum + refused, 0)}`,
    ];
  });
}

const HEAD = [
  'workers',
  'thousand metrics/s',
  'spread',
  `against ${COMPARED_WITH}`,
  'CPU s/million metrics',
  'p50 ms',
  'p99 ms',
  'metrics/commit',
  'context switches/request',
  'RSS MiB',
  'refused',
] as const;

const WHY = `Why more is not better here: a worker never waits. It parses, encodes and journals in its own event loop, and the
disk is the writer thread's affair, so that one worker for each CPU can keep that CPU busy. Workers beyond that take
turns on the same CPUs: the same work with more context switches, and with each worker's requests spread over more
event-loop turns, so that each thread wakes for fewer requests and tails wait for a thread's turn on the CPU. Each worker
brings a V8 heap, a parser's input and columns, and a journal, too. The writer and main need a share of a CPU beside them;
with requests of one metric each, the system calls of the connections, not the workers' number, set the pace.`;

function report(options: Options, workloads: readonly Workload[], cells: readonly Cell[]): string {
  const sections = workloads.map(({ batch, meanBodyBytes, digest }) => {
    const head = `## ${batch} ${batch === 1 ? 'metric' : 'metrics'} a request`;
    const body = `Bodies of ${Math.round(meanBodyBytes)} bytes, digest ${digest}.`;
    return `${head}\n\n${body}\n\n${table(HEAD, rows(cells, batch))}`;
  });
  return [
    '# Number of workers',
    'Command: `npm run bench:workers -- --report docs/results`',
    `Machine: ${machine()}; ${new Date().toISOString().slice(0, 10)}; ${availableParallelism()} CPUs`,
    `${options.rounds} rounds in turns, ${options.seconds} s each after a warm-up, ${CONNECTIONS} connections, \`--ack synced\`; ` +
      'the server may use all CPUs, wrk has one of them. Medians, in parentheses the spread; the ratio is taken within a round. ' +
      'CPU seconds and context switches are those of the whole server process. On a shared machine absolute figures ' +
      'drift by 20% and more: where spreads overlap, there is no difference to tell.',
    ...sections,
    WHY,
  ].join('\n\n');
}

async function run(options: Options): Promise<void> {
  requireMachine();
  requireDisk(options.scratch, FREE_BYTES);
  const workloads = BATCHES.map((batch) => createWorkload(batch));
  const cells: Cell[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const workload of workloads) {
      for (const workers of options.smoke ? WORKERS.slice(0, 2) : WORKERS) {
        const cell = await measure(options, workers, workload, round);
        cells.push(cell);
        if (options.smoke) continue;
        process.stderr.write(
          `round ${round}: ${workers} workers, batch ${workload.batch}: ${Math.round(cell.metricsPerSecond)} metrics/s, p99 ${cell.p99Ms.toFixed(1)} ms\n`,
        );
      }
    }
  }
  if (options.smoke) {
    process.stdout.write(`${cells.length} loads stored what they acknowledged\n`);
    return;
  }
  const text = report(options, workloads, cells);
  process.stdout.write(`${text}\n`);
  if (options.report === undefined) return;
  mkdirSync(options.report, { recursive: true });
  writeFileSync(join(options.report, 'workers.md'), `${text}\n`);
  const data = { command: 'npm run bench:workers -- --report docs/results', machine: machine(), cells };
  writeFileSync(join(options.report, 'workers.json'), `${JSON.stringify(data, null, 2)}\n`);
}

const options = parseOptions();
await run(options.smoke ? { ...options, rounds: 1, seconds: 1 } : options);
