/**
 * Does the generator see what wrk sees? Both put the same closed-loop load on one server in turn: the same
 * connections, the same bodies, each pinned to the same core, the server to another. Prints requests/s, p50 and p99
 * of both and their ratios round by round; exit code 1 when a median ratio is off by more than the tolerance.
 *
 * wrk corrects its latencies at the end: each that exceeds twice the mean time between two requests of a connection
 * is taken to stand for those that should have been sent meanwhile. So the same is done to the generator's.
 *
 *     npm run build && node dist/bench/wrk-agreement/main.js
 *     node dist/bench/wrk-agreement/main.js --answer-after 20   # by a server that only waits: neighbours matter less
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { formatCount, formatMs, formatShare } from '../../load-test/format.ts';
import { RequestTemplate, RUN_ID_CHARS } from '../../load-test/generator/request-template.ts';
import { correctedPercentilesMs } from '../../load-test/latency.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import { machineText } from '../../load-test/report/machine.ts';
import { REFUSES_NOTHING, SERVER_CORE, WRK_CORE } from '../compare/cell.ts';
import { startChild, untilIdle } from '../compare/child.ts';
import { table } from '../compare/report.ts';
import { requireMachine } from '../compare/tools.ts';
import { writeWrkFiles } from '../compare/workload.ts';
import { runWrk } from '../compare/wrk.ts';

const BODIES = 8;
const WARM_UP_SECONDS = 3;
const EXIT_DISAGREE = 1;
const RESULT_MAX_BYTES = 64 << 20;

interface Flags {
  readonly rounds: number;
  readonly seconds: number;
  readonly batch: number;
  readonly connections: number;
  readonly ack: string;
  readonly answerAfter: number;
  readonly tolerance: number;
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
  readonly connections: number;
  readonly seconds: number;
  readonly batch: number;
}

/** What the generator sends, for wrk. */
function bodiesOf(batch: number): string[] {
  const template = new RequestTemplate({
    authority: '',
    batch,
    seed: 1,
    runId: 'w'.repeat(RUN_ID_CHARS),
    keepAlive: true,
    headers: {},
  });
  return Array.from({ length: BODIES }, (_, number) => {
    template.patch(number, false);
    return template.bytes.toString('latin1', template.bytes.indexOf('\r\n\r\n') + 4);
  });
}

async function wrkFigures(load: Load, files: ReturnType<typeof writeWrkFiles>): Promise<Figures> {
  const { port, connections, seconds } = load;
  const counts = await runWrk({ port, files, connections, seconds, core: WRK_CORE });
  if (counts.refused + counts.socketErrors > 0) throw new Error(`wrk: ${JSON.stringify(counts)}`);
  const { p50Ms, p99Ms } = counts;
  return { requestsPerSecond: counts.responses / counts.seconds, p50Ms, p99Ms };
}

async function generatorFigures({ port, connections, seconds, batch }: Load): Promise<[Figures, number]> {
  const main = fileURLToPath(new URL('../../load-test/main.js', import.meta.url));
  const args = ['-c', String(WRK_CORE), process.execPath, main];
  args.push('--port', String(port), '--clients', String(connections), '--batch', String(batch));
  // Unlike wrk it has code to compile first.
  args.push('--duration', `${seconds}s`, '--warm-up', '1s', '--threads', '1', '--json');
  const { stdout } = await promisify(execFile)('taskset', args, { maxBuffer: RESULT_MAX_BYTES });
  const result = JSON.parse(stdout) as LoadResult;
  if (result.succeeded !== result.sent) throw new Error(JSON.stringify(result.outcomes));
  const meanIntervalMs = (result.seconds * 1e3) / (result.succeeded / connections);
  const [p50Ms = Number.NaN, p99Ms = Number.NaN] = correctedPercentilesMs(
    result.apiLatency.hdr,
    meanIntervalMs,
    [50, 99],
  );
  return [{ requestsPerSecond: result.requestsPerSecond, p50Ms, p99Ms }, result.generator.busyShare];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

/** Arguments for Node that start the server. */
function serverArgs({ answerAfter, ack }: Pick<Flags, 'answerAfter' | 'ack'>, dataDir: string): string[] {
  if (answerAfter > 0) {
    return [fileURLToPath(new URL('./delaying-server.js', import.meta.url)), String(answerAfter)];
  }
  const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
  const args = [main, 'serve', '--port', '0', '--data-dir', dataDir, '--workers', '1', '--ack', ack];
  // Old segments make room, so that long runs fit on a small disk.
  return [...args, ...REFUSES_NOTHING, '--retention-bytes', String(2 ** 30)];
}

async function measure(load: Omit<Load, 'port'>, flags: Flags): Promise<Round[]> {
  const { rounds } = flags;
  const directory = mkdtempSync(join(tmpdir(), 'metricsstream-agreement-'));
  const dataDir = join(directory, 'data');
  mkdirSync(dataDir);
  const server = await startChild(serverArgs(flags, dataDir), SERVER_CORE);
  try {
    const { port, pid } = server;
    const files = writeWrkFiles(directory, {
      batch: load.batch,
      bodies: bodiesOf(load.batch),
      lines: new Set(),
      meanBodyBytes: 0,
      digest: '',
    });
    await wrkFigures({ ...load, port, seconds: WARM_UP_SECONDS }, files);
    const results: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      let wrk: Figures | undefined;
      if (round % 2 === 0) wrk = await wrkFigures({ ...load, port }, files);
      await untilIdle(pid);
      const [generator, busyShare] = await generatorFigures({ ...load, port });
      await untilIdle(pid);
      wrk ??= await wrkFigures({ ...load, port }, files);
      results.push({ wrk, generator, busyShare });
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    }
    return results;
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

const ratiosOf = (rounds: readonly Round[], figure: keyof Figures): number[] =>
  rounds.map(({ wrk, generator }) => generator[figure] / wrk[figure]);

function report(rounds: readonly Round[], tolerance: number): boolean {
  const show = ({ requestsPerSecond, p50Ms, p99Ms }: Figures) => [
    formatCount(requestsPerSecond),
    formatMs(p50Ms),
    formatMs(p99Ms),
  ];
  const head = ['round', 'wrk/s', 'p50', 'p99', 'generator/s', 'p50', 'p99', 'ratio/s', 'p50', 'p99', 'busy'];
  const rows = rounds.map((round, index) => [
    String(index + 1),
    ...show(round.wrk),
    ...show(round.generator),
    ...FIGURES.map((figure) => (ratiosOf(rounds, figure)[index] ?? Number.NaN).toFixed(3)),
    formatShare(round.busyShare),
  ]);
  const medians = FIGURES.map((figure) => median(ratiosOf(rounds, figure)));
  process.stdout.write(`${machineText()}\n\n${table(head, rows)}\n\n`);
  for (const [index, figure] of FIGURES.entries()) {
    const ratio = medians[index] ?? Number.NaN;
    const agrees = Math.abs(ratio - 1) <= tolerance;
    process.stdout.write(
      `${figure}: median ratio ${ratio.toFixed(3)}, ${agrees ? 'within' : 'NOT within'} ${formatShare(tolerance)}\n`,
    );
  }
  return medians.every((ratio) => Math.abs(ratio - 1) <= tolerance);
}

const program = new Command('wrk-agreement')
  .description("compares the generator's figures with wrk's")
  .option('--rounds <n>', 'interleaved rounds', Number, 6)
  .option('--seconds <n>', 'of each load', Number, 5)
  .option('--batch <n>', 'metrics a request', Number, 100)
  .option('--connections <n>', 'clients of both', Number, 64)
  .option('--ack <level>', 'of the server', 'synced')
  .option('--answer-after <ms>', 'in place of the real server: one that answers after this time', Number, 0)
  .option('--tolerance <share>', 'how far a median ratio may be from 1', Number, 0.05);
const flags = program.parse().opts<Flags>();
requireMachine();
const { batch, connections, seconds } = flags;
const agrees = report(await measure({ batch, connections, seconds }, flags), flags.tolerance);
process.exitCode = agrees ? 0 : EXIT_DISAGREE;
