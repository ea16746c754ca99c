/**
 * `npm run bench:server`: the built server beside a bare uWebSockets.js server and a Fastify server, driven by wrk,
 * compared by the CPU time that the operating system charges to the whole process, with the stored lines counted.
 * `--peers` compares it with databases instead. docs/benchmarks/server.md and peers.md say how to read the results.
 */
import { Command, Option } from 'commander';
import { measureInTurns } from '../harness/turns.ts';
import { publish, type Report, readRun } from '../report/document.ts';
import { thousands } from '../report/numbers.ts';
import { originOf } from '../report/origin.ts';
import {
  listOf,
  progress,
  renderOption,
  reportOption,
  runMain,
  scratchOption,
  wholeNumber,
} from '../under-test/command-line.ts';
import { requireMachine, withDisk } from '../under-test/requirements.ts';
import { BATCH_SIZES, createWorkload } from '../under-test/workload.ts';
import { CONNECTIONS } from '../under-test/wrk.ts';
import { measureCell, SERVERS, type ServerName } from './cell.ts';
import { CONTENDERS, type ContenderName } from './contenders.ts';
import { type MemoryRun, measureMemory, memoryBlocks } from './memory.ts';
import { comparePeers, type PeersOptions, type PeersRun, requirePeers, smokePeers } from './peers.ts';
import { peersBlocks } from './peers-tables.ts';
import { type RoundResult, type ServerRun, serverBlocks } from './tables.ts';

const PROGRAM = 'npm run bench:server';
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
  readonly scratch: string;
  readonly report?: string;
  readonly render: boolean;
}

function parseOptions(): Options {
  return new Command('bench:server')
    .description('Compares the built server with a bare uWebSockets.js and a Fastify server under wrk.')
    .option('--rounds <count>', 'how often each cell is measured', wholeNumber(1), 3)
    .option('--seconds <seconds>', 'length of each measured load', wholeNumber(1), 6)
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
      `one round of ${SMOKE_SECONDS} s to check that everything is stored; prints no figures`,
      false,
    )
    .option('--peers', 'instead: beside VictoriaMetrics and InfluxDB, with kills in mid-load', false)
    .option('--kills <count>', 'with --peers: how often each is killed', wholeNumber(0), 3)
    .option('--memory', 'instead: resident memory of the server at default settings under load', false)
    .option('--minutes <minutes>', 'length of the memory run', Number, 5)
    .addOption(scratchOption('bench-server'))
    .addOption(reportOption('server'))
    .addOption(renderOption('server'))
    .parse()
    .opts<Options>();
}

/** The servers that are asked for, or all. @throws when one of them has no part in this comparison */
function chosen<T extends string>({ only }: Options, allowed: readonly T[]): readonly T[] {
  return (only ?? allowed).map((name) => {
    const found = allowed.find((known) => known === name);
    if (found === undefined) throw new Error(`--only ${name}: choose from ${allowed.join(', ')}`);
    return found;
  });
}

const SERVER: Report<ServerRun> = { name: 'server', title: 'Server benchmark', blocks: serverBlocks };
const MEMORY: Report<MemoryRun> = {
  name: 'memory',
  title: 'Resident memory under load',
  blocks: memoryBlocks,
};
const PEERS: Report<PeersRun> = { name: 'peers', title: 'Beside other databases', blocks: peersBlocks };

/** Servers take turns within each batch size and round. @returns the exit code */
async function compareServers(options: Options): Promise<number> {
  const { rounds, seconds, scratch, smoke, batch } = options;
  const workloads = batch.map(createWorkload);
  const cells = workloads.flatMap((workload) =>
    chosen(options, SERVERS).map((server) => ({ server, workload, seconds, scratch })),
  );
  const { results, failures } = await measureInTurns(
    {
      title: 'round',
      rounds,
      cells,
      progress,
      nameOf: ({ server, workload }) => `${workload.batch} a request, ${server}`,
    },
    async (cell, round) => {
      const result: RoundResult = { round, ...(await measureCell(cell)) };
      const figure = `${thousands(result.metricsPerCpuSecond)} thousand metrics per CPU second`;
      return [result, smoke ? 'verified' : figure] as const;
    },
  );
  if (smoke) console.log(`${results.length} cells verified, ${failures.length} failed`);
  else {
    const run: ServerRun = {
      ...originOf(PROGRAM),
      ...{ rounds, seconds, connections: CONNECTIONS },
      workloads: workloads.map(({ batch: size, meanBodyBytes, digest }) => ({
        batch: size,
        meanBodyBytes,
        digest,
      })),
      results,
      failures,
    };
    publish(SERVER, run, options.report);
  }
  return failures.length === 0 ? 0 : 1;
}

async function watchMemory(options: Options): Promise<number> {
  progress(`loading a server at default settings for ${options.minutes} minutes`);
  const result = await measureMemory(options.minutes, options.scratch);
  const run: MemoryRun = { ...originOf(PROGRAM), ...result };
  publish(MEMORY, run, options.report);
  return result.passed ? 0 : 1;
}

async function besidePeers(options: Options): Promise<number> {
  const { batch, rounds, seconds, kills, scratch, smoke } = options;
  const servers = chosen(options, CONTENDERS);
  const peers: PeersOptions = { servers, batches: batch, rounds, seconds, kills, scratch, progress };
  if (smoke) return (await smokePeers(peers)) ? 1 : 0;
  requirePeers(servers);
  const run: PeersRun = { ...originOf(PROGRAM), ...(await comparePeers(peers)) };
  publish(PEERS, run, options.report);
  return run.failures.length > 0 ? 1 : 0;
}

function render({ report, peers, memory }: Options): number {
  if (peers) publish(PEERS, readRun(PEERS, report), report);
  else if (memory) publish(MEMORY, readRun(MEMORY, report), report);
  else publish(SERVER, readRun(SERVER, report), report);
  return 0;
}

/** @returns the exit code */
async function main(): Promise<number> {
  const given = parseOptions();
  const options = given.smoke ? { ...given, rounds: 1, seconds: SMOKE_SECONDS } : given;
  if (options.render) return render(options);
  // Round trips need neither wrk nor a second core.
  if (!(options.peers && options.smoke)) requireMachine();
  const compare = options.peers ? besidePeers : options.memory ? watchMemory : compareServers;
  return withDisk(options.scratch, FREE_BYTES, () => compare(options));
}

await runMain(main);
