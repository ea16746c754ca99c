/** One cell of the comparison: one server, one batch size, a fresh process, a warm-up and a measured load. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Child, cpuSeconds, memoryOf, startChild, untilIdle } from './child.ts';
import { type OwnCounts, scrape } from './scrape.ts';
import { checkSamples, countLines, dataFiles } from './stored.ts';
import { type Workload, writeWrkFiles } from './workload.ts';
import { runWrk, type WrkCounts } from './wrk.ts';

export const SERVERS = ['bare', 'fastify', 'received', 'written', 'synced'] as const;
export type ServerName = (typeof SERVERS)[number];

export const SERVER_LABELS: Readonly<Record<ServerName, string>> = {
  bare: 'bare uWebSockets.js, empty 204',
  fastify: 'Fastify, schema, rate limit, append',
  received: 'MetricsStream --ack received',
  written: 'MetricsStream --ack written',
  synced: 'MetricsStream --ack synced',
};

export const SERVER_CORE = 0;
export const WRK_CORE = 1;
export const CONNECTIONS = 64;
/** Optimising compilation and the first collections end within it. */
const WARM_UP_SECONDS = 4;

export interface CellOptions {
  readonly server: ServerName;
  readonly workload: Workload;
  /** Length of the measured load. */
  readonly seconds: number;
  /** Data and wrk's files go into a new directory in it, removed afterwards. */
  readonly scratch: string;
  /** Passed to the server's Node. */
  readonly nodeArgs?: readonly string[];
}

export interface CellResult {
  readonly server: ServerName;
  readonly batch: number;
  /** Answers that accepted their metrics. */
  readonly accepted: number;
  /** Answers that refused them; only where `received` outruns the disk. */
  readonly refused: number;
  readonly seconds: number;
  /** Of the whole server process, from the start of the load until the server was idle again. */
  readonly cpuSeconds: number;
  readonly requestsPerCpuSecond: number;
  readonly metricsPerCpuSecond: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
  /** Lines in the files at the end, warm-up included; 0 for the bare server. */
  readonly storedLines: number;
}

/** Limits are high rather than off, so that their cost is paid; a slow disk shows as delay, as with the other servers. */
export const REFUSES_NOTHING = ['--rate-limit', '1000000000', '--target-delay-ms', '60000'] as const;

function scriptPath(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

/** Arguments for Node that start a server. */
export function serverArgs(server: ServerName, dataDir: string): string[] {
  if (server === 'bare') return [scriptPath('../peers/bare-uws.js')];
  if (server === 'fastify') return [scriptPath('../peers/fastify.js'), join(dataDir, 'metrics-1.ndjson')];
  const args = [scriptPath('../../src/main.js'), 'serve', '--port', '0', '--data-dir', dataDir];
  return [...args, '--workers', '1', '--ack', server, ...REFUSES_NOTHING];
}

function isMetricsStream(server: ServerName): boolean {
  return server !== 'bare' && server !== 'fastify';
}

/** Waits until the server has done all that the load gave it; a process that waits for its disk is idle, too. */
async function untilSettled(server: ServerName, { pid, port }: Child): Promise<OwnCounts | undefined> {
  for (;;) {
    await untilIdle(pid);
    const own = isMetricsStream(server) ? await scrape(port) : undefined;
    if (own === undefined || own.queueDepth === 0) return own;
  }
}

/** Under `received` clients do not wait for the disk, so the bounded queue refuses what is too much for it. */
function mayRefuse(server: ServerName): boolean {
  return server === 'received';
}

function checkAnswers(server: ServerName, runs: readonly WrkCounts[], own: OwnCounts | undefined): void {
  for (const { refused, socketErrors } of runs) {
    if (refused > 0 && !mayRefuse(server)) {
      throw new Error([`${refused} answers were not 2xx`, ...(own?.refusals ?? [])].join('; '));
    }
    if (socketErrors > 0) throw new Error(`${socketErrors} socket errors or timeouts`);
  }
}

/**
 * wrk stops with requests in flight: the server may have stored up to one a connection that wrk never counted.
 * Less, or more, or a part of a batch means that an answer and the files disagree.
 */
function checkStored(stored: number, batch: number, runs: readonly WrkCounts[]): void {
  const answered = runs.reduce((sum, { responses, refused }) => sum + responses - refused, 0);
  const uncounted = stored / batch - answered;
  const allowed = runs.length * CONNECTIONS;
  if (!Number.isInteger(uncounted) || uncounted < 0 || uncounted > allowed) {
    throw new Error(
      `${stored} lines stored, but ${answered} answers × ${batch} = ${answered * batch} acknowledged ` +
        `(up to ${allowed} requests in flight when wrk stopped may be stored besides)`,
    );
  }
}

/** Measures one cell. Throws when anything was refused, went wrong, or is not in the files. */
export async function measureCell(options: CellOptions): Promise<CellResult> {
  const { server, workload, seconds, scratch, nodeArgs = [] } = options;
  const { batch } = workload;
  mkdirSync(scratch, { recursive: true });
  const directory = mkdtempSync(join(scratch, 'cell-'));
  const removeAll = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', removeAll);
  let child: Child | undefined;
  try {
    const dataDir = join(directory, 'data');
    mkdirSync(dataDir);
    const files = writeWrkFiles(directory, workload);
    child = await startChild([...nodeArgs, ...serverArgs(server, dataDir)], SERVER_CORE);
    const load = { port: child.port, files, connections: CONNECTIONS, core: WRK_CORE };
    const warmUp = await runWrk({ ...load, seconds: Math.min(WARM_UP_SECONDS, seconds) });
    await untilIdle(child.pid);
    const before = cpuSeconds(child.pid);
    const counts = await runWrk({ ...load, seconds });
    const own = await untilSettled(server, child);
    const spent = cpuSeconds(child.pid) - before;
    const memory = memoryOf(child.pid);
    await child.stop();

    checkAnswers(server, [warmUp, counts], own);
    const paths = dataFiles(dataDir);
    const storedLines = countLines(paths);
    if (server !== 'bare') checkStored(storedLines, batch, [warmUp, counts]);
    if (own !== undefined && own.acceptedMetrics !== storedLines) {
      throw new Error(`${storedLines} lines stored, but the server counts ${own.acceptedMetrics} accepted`);
    }
    checkSamples(paths, workload);
    const accepted = counts.responses - counts.refused;
    return {
      server,
      batch,
      accepted,
      refused: counts.refused,
      seconds: counts.seconds,
      cpuSeconds: spent,
      requestsPerCpuSecond: accepted / spent,
      metricsPerCpuSecond: (accepted * batch) / spent,
      requestsPerSecond: accepted / counts.seconds,
      p50Ms: counts.p50Ms,
      p99Ms: counts.p99Ms,
      maxMs: counts.maxMs,
      ...memory,
      storedLines,
    };
  } finally {
    child?.kill();
    process.off('exit', removeAll);
    removeAll();
  }
}
