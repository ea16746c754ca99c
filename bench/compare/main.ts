/**
 * `npm run bench:server`: the built server beside a bare uWebSockets.js server and a Fastify server, driven by wrk,
 * compared by the CPU time that the operating system charges to the whole process, with the stored lines counted.
 * `--peers` puts databases beside it instead. docs/benchmarking.md says how to read it.
 */
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { machine } from '../harness.ts';
import { CONNECTIONS, measureCell, SERVERS, type ServerName } from './cell.ts';
import { CONTENDERS, type ContenderName } from './contenders.ts';
import { measureMemory, memoryReport } from './memory.ts';
import { comparePeers, type PeersOptions, requirePeers, smokePeers } from './peers.ts';
import { profileCell } from './profile.ts';
import { type RoundResult, type RunInfo, ratiosOf, report } from './report.ts';
import { requireDisk, requireMachine } from './tools.ts';
import { BATCH_SIZES, createWorkload, type Workload } from './workload.ts';

/** More than any cell writes in its default time, and than a five-minute memory run. */
const FREE_BYTES = 12e9;
const SMOKE_SECONDS = 2;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly only?: readonly (ServerName | ContenderName)[];
  readonly batch: readonly number[];
  readonly smoke: boolean;
  readonly peers: boolean;
  readonly kills: number;
  readonly memory: boolean;
  readonly minutes: number;
  readonly profile?: string;
  readonly scratch: string;
  readonly json?: string;
  readonly report?: string;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('must be a number above 0');
  return value;
}

function positiveInteger(text: string): number {
  const value = positive(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('must be a whole number');
  return value;
}

function countOrNone(text: string): number {
  return text === '0' ? 0 : positiveInteger(text);
}

function listOf<T>(allowed: readonly T[]): (text: string) => T[] {
  return (text) =>
    text.split(',').map((item) => {
      const found = allowed.find((choice) => String(choice) === item.trim());
      if (found === undefined) throw new InvalidArgumentError(`choose from ${allowed.join(', ')}`);
      return found;
    });
}

function parseOptions(): Options {
  const scratch = fileURLToPath(new URL('../../../.artifacts/bench-server', import.meta.url));
  return new Command('bench:server')
    .description('Compares the built server with a bare uWebSockets.js and a Fastify server under wrk.')
    .option('--rounds <count>', 'how often each cell is measured', positiveInteger, 3)
    .option('--seconds <seconds>', 'length of each measured load', positiveInteger, 6)
    .addOption(
      new Option(
        '--only <servers>',
        `of ${SERVERS.join(', ')}; with --peers of ${CONTENDERS.join(', ')}`,
      ).argParser(listOf([...new Set([...SERVERS, ...CONTENDERS])])),
    )
    .addOption(
      new Option('--batch <sizes>', `metrics a request, of ${BATCH_SIZES.join(', ')}`)
        .argParser(listOf(BATCH_SIZES))
        .default(BATCH_SIZES),
    )
    .option(
      '--smoke',
      `one round of ${SMOKE_SECONDS} s to check that all is stored; prints no figures`,
      false,
    )
    .option('--peers', 'instead: beside VictoriaMetrics and InfluxDB, with kills in mid-load', false)
    .option('--kills <count>', 'with --peers: how often each is killed', countOrNone, 3)
    .option('--memory', 'instead: resident memory of the server at default settings under load', false)
    .option('--minutes <minutes>', 'length of the memory run', positive, 5)
    .option('--profile <directory>', 'instead: where the CPU time goes, with the profiles kept there')
    .option('--scratch <directory>', 'for data, on a disk; emptied afterwards', scratch)
    .option('--json <file>', 'writes the figures as JSON')
    .option(
      '--report <file>',
      'writes the report as Markdown, and beside it as JSON; with --peers also a directory',
    )
    .parse()
    .opts<Options>();
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

interface Failure {
  readonly cell: string;
  readonly why: string;
}

/** The servers that are asked for, or all. @throws when one of them has no part in this comparison */
function chosen<T extends string>({ only }: Options, allowed: readonly T[]): readonly T[] {
  return (only ?? allowed).map((name) => {
    const found = allowed.find((known) => known === name);
    if (found === undefined) throw new Error(`--only ${name}: choose from ${allowed.join(', ')}`);
    return found;
  });
}

/** Servers take turns within each batch size and round, so that a noisy neighbour hits all alike. */
async function measureAll(
  options: Options,
  workloads: readonly Workload[],
): Promise<{ results: RoundResult[]; failures: Failure[] }> {
  const results: RoundResult[] = [];
  const failures: Failure[] = [];
  const servers = chosen(options, SERVERS);
  for (let round = 1; round <= options.rounds; round++) {
    for (const workload of workloads) {
      for (const server of servers) {
        const cell = `round ${round}/${options.rounds}, ${workload.batch} a request, ${server}`;
        try {
          const result = await measureCell({
            server,
            workload,
            seconds: options.seconds,
            scratch: options.scratch,
          });
          results.push({ round, ...result });
          const figure = `${(result.metricsPerCpuSecond / 1e3).toFixed(1)} thousand metrics per CPU second`;
          progress(`${cell}: ${options.smoke ? 'verified' : figure}`);
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          failures.push({ cell, why });
          progress(`${cell}: FAILED: ${why}`);
        }
      }
    }
  }
  return { results, failures };
}

function commandLine(): string {
  const args = process.argv.slice(2);
  return ['npm run bench:server', ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
}

function runInfo({ rounds, seconds }: Options, workloads: readonly Workload[]): RunInfo {
  return {
    command: commandLine(),
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
    rounds,
    seconds,
    connections: CONNECTIONS,
    workloads: workloads.map(({ batch, meanBodyBytes, digest }) => ({ batch, meanBodyBytes, digest })),
  };
}

function writeOutput(options: Options, text: string, data: unknown): void {
  const json = `${JSON.stringify(data, undefined, 2)}\n`;
  for (const [path, content] of [
    [options.json, json],
    [options.report, text],
    [options.report?.replace(/(\.md)?$/, '.json'), json],
  ]) {
    if (path === undefined || content === undefined) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
}

/** Returns the exit code. */
async function compareServers(options: Options): Promise<number> {
  const workloads = options.batch.map(createWorkload);
  const { results, failures } = await measureAll(options, workloads);
  if (options.smoke) {
    console.log(`${results.length} cells verified, ${failures.length} failed`);
  } else {
    const info = runInfo(options, workloads);
    const notes = failures.map(({ cell, why }) => `FAILED ${cell}: ${why}`);
    const text = `# Server benchmark\n\n${report(info, results, notes)}`;
    console.log(text);
    writeOutput(options, text, { ...info, results, ratios: ratiosOf(results), failures });
  }
  return failures.length === 0 ? 0 : 1;
}

async function watchMemory(options: Options): Promise<number> {
  const result = await measureMemory(options.minutes, options.scratch, progress);
  const info = runInfo({ ...options, rounds: 1, seconds: options.minutes * 60 }, []);
  const text = memoryReport(info, result);
  console.log(text);
  writeOutput(options, text, { ...info, ...result });
  return result.passed ? 0 : 1;
}

async function profileAll(options: Options, directory: string): Promise<number> {
  for (const batch of options.batch) {
    for (const server of chosen(options, SERVERS)) {
      if (server === 'bare') continue;
      const { seconds, scratch } = options;
      console.log(
        await profileCell({ server, workload: createWorkload(batch), seconds, scratch }, directory),
      );
    }
  }
  return 0;
}

async function besidePeers(options: Options): Promise<number> {
  const peers: PeersOptions = {
    servers: chosen(options, CONTENDERS),
    batches: options.batch,
    rounds: options.rounds,
    seconds: options.seconds,
    kills: options.kills,
    scratch: options.scratch,
    command: commandLine(),
    progress,
  };
  if (options.smoke) return (await smokePeers(peers)) ? 1 : 0;
  requirePeers(peers.servers);
  const { text, data, failed } = await comparePeers(peers);
  console.log(text);
  const isDirectory = options.report !== undefined && !options.report.endsWith('.md');
  writeOutput(isDirectory ? { ...options, report: join(options.report, 'peers.md') } : options, text, data);
  return failed ? 1 : 0;
}

async function main(): Promise<number> {
  const given = parseOptions();
  const options = given.smoke ? { ...given, rounds: 1, seconds: SMOKE_SECONDS } : given;
  // Round trips need neither wrk nor a second core.
  if (!(options.peers && options.smoke)) requireMachine();
  requireDisk(options.scratch, FREE_BYTES);
  try {
    if (options.peers) return await besidePeers(options);
    if (options.memory) return await watchMemory(options);
    if (options.profile !== undefined) return await profileAll(options, options.profile);
    return await compareServers(options);
  } finally {
    // Cells remove what is theirs; another run may still be using the rest.
    if (readdirSync(options.scratch).length === 0) rmdirSync(options.scratch);
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
