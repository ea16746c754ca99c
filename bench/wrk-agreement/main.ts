/**
 * Checks the load generator against wrk. Both put the same closed-loop load on one server in turn: the same
 * connections, the same bodies, each pinned to the same core, the server to another. Prints requests/s, p50 and p99
 * of both and their ratios round by round; exits with 1 when a median ratio is off by more than the tolerance.
 *
 * wrk corrects its latencies at the end: a latency above twice the mean time between two requests of a connection also
 * counts for the requests that should have been sent meanwhile. The generator's latencies get the same correction.
 *
 *     npm run build && node dist/bench/wrk-agreement/main.js
 *     node dist/bench/wrk-agreement/main.js --answer-after 20   # against a server that only waits: neighbours matter less
 */
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { formatCount, formatMs, formatShare } from '../../load-test/format.ts';
import { RequestTemplate, RUN_ID_CHARS } from '../../load-test/generator/request-template.ts';
import { correctedPercentilesMs } from '../../load-test/latency.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import { machine } from '../report/origin.ts';
import { type Column, markdownTable, tableOf } from '../report/table.ts';
import { medianOf } from '../statistics.ts';
import { progress, runMain, wholeNumber } from '../under-test/command-line.ts';
import {
  LOAD_CORE,
  REFUSES_NOTHING,
  SERVER_CORE,
  serveArgs,
  startChild,
  withServer,
} from '../under-test/process.ts';
import { requireMachine } from '../under-test/requirements.ts';
import { untilIdle } from '../under-test/usage.ts';
import { type WrkFiles, writeWrkFiles } from '../under-test/workload.ts';
import { CONNECTIONS, runWrk } from '../under-test/wrk.ts';

const BODIES = 8;
const WARM_UP_SECONDS = 3;
const EXIT_DISAGREE = 1;
/** How far a median ratio may be from 1. */
const TOLERANCE = 0.05;
const RESULT_MAX_BYTES = 64 << 20;

interface Flags {
  readonly rounds: number;
  readonly seconds: number;
  readonly batch: number;
  readonly answerAfter: number;
}

interface Figures {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const FIGURES = ['requestsPerSecond', 'p50Ms', 'p99Ms'] as const satisfies readonly (keyof Figures)[];

interface Round {
  readonly wrk: Figures;
  readonly generator: Figures;
  /** Share of its time that the generator's thread was busy. */
  readonly busyShare: number;
}

interface Load {
  readonly port: number;
  readonly seconds: number;
  readonly batch: number;
}

/** The generator's request, for wrk. */
function bodiesOf(batch: number): string[] {
  const settings = { authority: '', seed: 1, keepAlive: true, headers: {}, isKeyed: false };
  const template = new RequestTemplate({ ...settings, batch, runId: 'w'.repeat(RUN_ID_CHARS) });
  return Array.from({ length: BODIES }, (_, number) => {
    template.patch(number, false);
    return template.bytes.toString('latin1', template.bytes.indexOf('\r\n\r\n') + 4);
  });
}

async function wrkFigures(load: Load, files: WrkFiles): Promise<Figures> {
  const { port, seconds } = load;
  const counts = await runWrk({ port, files, connections: CONNECTIONS, seconds, core: LOAD_CORE });
  if (counts.refused + counts.socketErrors > 0) throw new Error(`wrk: ${JSON.stringify(counts)}`);
  const { p50Ms, p99Ms } = counts;
  return { requestsPerSecond: counts.responses / counts.seconds, p50Ms, p99Ms };
}

async function generatorFigures({ port, seconds, batch }: Load): Promise<[Figures, number]> {
  const main = fileURLToPath(new URL('../../load-test/main.js', import.meta.url));
  const args = ['-c', String(LOAD_CORE), process.execPath, main];
  args.push('--port', String(port), '--clients', String(CONNECTIONS), '--batch', String(batch));
  // Unlike wrk it has code to compile first.
  args.push('--duration', `${seconds}s`, '--warm-up', '1s', '--threads', '1', '--json');
  const { stdout } = await promisify(execFile)('taskset', args, { maxBuffer: RESULT_MAX_BYTES });
  const result = JSON.parse(stdout) as LoadResult;
  if (result.succeeded !== result.sent) throw new Error(JSON.stringify(result.outcomes));
  const meanIntervalMs = (result.seconds * 1e3) / (result.succeeded / CONNECTIONS);
  const [p50Ms = Number.NaN, p99Ms = Number.NaN] = correctedPercentilesMs(
    result.apiLatency.hdr,
    meanIntervalMs,
    [50, 99],
  );
  return [{ requestsPerSecond: result.requestsPerSecond, p50Ms, p99Ms }, result.generator.busyShare];
}

/** Arguments for Node.js that start the server. */
function argsOf({ answerAfter }: Flags, dataDir: string): string[] {
  if (answerAfter > 0) {
    return [fileURLToPath(new URL('./delaying-server.js', import.meta.url)), String(answerAfter)];
  }
  // Old segments make room, so that long runs fit on a small disk.
  const limits = [...REFUSES_NOTHING, '--retention-bytes', String(2 ** 30)];
  return serveArgs(dataDir, '--workers', '1', '--ack', 'synced', ...limits);
}

function measure(flags: Flags): Promise<Round[]> {
  const { rounds, batch, seconds } = flags;
  const start = (dataDir: string) => startChild(argsOf(flags, dataDir), SERVER_CORE);
  return withServer(tmpdir(), start, async ({ port, pid, stop }, _dataDir, directory) => {
    const load = { port, batch, seconds };
    const files = writeWrkFiles(directory, { batch, bodies: bodiesOf(batch) });
    await wrkFigures({ ...load, seconds: WARM_UP_SECONDS }, files);
    const results: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      let wrk: Figures | undefined;
      if (round % 2 === 0) wrk = await wrkFigures(load, files);
      await untilIdle(pid);
      const [generator, busyShare] = await generatorFigures(load);
      await untilIdle(pid);
      wrk ??= await wrkFigures(load, files);
      results.push({ wrk, generator, busyShare });
      progress(`round ${round + 1} of ${rounds}`);
    }
    await stop();
    return results;
  });
}

const ratioOf = ({ wrk, generator }: Round, figure: keyof Figures): number => generator[figure] / wrk[figure];

const COLUMNS: readonly Column<Round>[] = [
  ['wrk/s', ({ wrk }) => formatCount(wrk.requestsPerSecond)],
  ['p50', ({ wrk }) => formatMs(wrk.p50Ms)],
  ['p99', ({ wrk }) => formatMs(wrk.p99Ms)],
  ['generator/s', ({ generator }) => formatCount(generator.requestsPerSecond)],
  ['p50', ({ generator }) => formatMs(generator.p50Ms)],
  ['p99', ({ generator }) => formatMs(generator.p99Ms)],
  ['ratio/s', (round) => ratioOf(round, 'requestsPerSecond').toFixed(3)],
  ['p50', (round) => ratioOf(round, 'p50Ms').toFixed(3)],
  ['p99', (round) => ratioOf(round, 'p99Ms').toFixed(3)],
  ['busy', ({ busyShare }) => formatShare(busyShare)],
];

/** @returns whether all medians are within the tolerance */
function report(rounds: readonly Round[]): boolean {
  console.log(`${machine()}\n\n${markdownTable(tableOf(COLUMNS, rounds))}\n`);
  const agreements = FIGURES.map((figure) => {
    const ratio = medianOf(rounds.map((round) => ratioOf(round, figure)));
    const agrees = Math.abs(ratio - 1) <= TOLERANCE;
    const verdict = `${agrees ? 'within' : 'NOT within'} ${formatShare(TOLERANCE)}`;
    console.log(`${figure}: median ratio ${ratio.toFixed(3)}, ${verdict}`);
    return agrees;
  });
  return agreements.every(Boolean);
}

const program = new Command('wrk-agreement')
  .description("Compares the generator's figures with wrk's.")
  .option('--rounds <n>', 'interleaved rounds', wholeNumber(1), 6)
  .option('--seconds <n>', 'of each load', wholeNumber(1), 5)
  .option('--batch <n>', 'metrics a request', wholeNumber(1), 100)
  .option(
    '--answer-after <ms>',
    'in place of the real server: one that answers after this time',
    wholeNumber(0),
    0,
  );

await runMain(async () => {
  const flags = program.parse().opts<Flags>();
  requireMachine();
  return report(await measure(flags)) ? 0 : EXIT_DISAGREE;
});
