/** One cell of the comparison: one server, one batch size, a fresh process, a warm-up and a measured load. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryOf } from '../../load-test/server-process.ts';
import { type Exposition, readExposition, refusalsIn, sampleOf } from '../under-test/exposition.ts';
import {
  type Child,
  LOAD_CORE,
  REFUSES_NOTHING,
  SERVER_CORE,
  serveArgs,
  startChild,
  withServer,
} from '../under-test/process.ts';
import { checkSamples, checkStored, countLines, dataFiles } from '../under-test/stored.ts';
import { cpuSeconds, untilIdle } from '../under-test/usage.ts';
import { type Workload, writeWrkFiles } from '../under-test/workload.ts';
import { CONNECTIONS, runWrk, type WrkCounts } from '../under-test/wrk.ts';

export const SERVERS = ['bare', 'fastify', 'group-commit', 'received', 'written', 'synced'] as const;
export type ServerName = (typeof SERVERS)[number];

export const SERVER_LABELS: Readonly<Record<ServerName, string>> = {
  bare: 'bare uWebSockets.js, empty 204',
  fastify: 'Fastify, schema, rate limit, append',
  'group-commit': 'uWebSockets.js, JSON.parse, group commit',
  received: 'MetricsStream --ack received',
  written: 'MetricsStream --ack written',
  synced: 'MetricsStream --ack synced',
};

/** Optimising compilation and the first collections end within it. */
const WARM_UP_SECONDS = 4;

export interface CellOptions {
  readonly server: ServerName;
  readonly workload: Workload;
  /** Length of the measured load. */
  readonly seconds: number;
  /** For the data and wrk's files. */
  readonly scratch: string;
}

export type CellResult = Awaited<ReturnType<typeof measureCell>>;

const scriptPath = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Arguments for Node.js that start a server. */
export function argsOf(server: ServerName, dataDir: string): string[] {
  if (server === 'bare') return [scriptPath('../servers/bare-uws.js')];
  if (server === 'fastify' || server === 'group-commit') {
    return [scriptPath(`../servers/${server}.js`), join(dataDir, 'metrics-1.ndjson')];
  }
  return serveArgs(dataDir, '--workers', '1', '--ack', server, ...REFUSES_NOTHING);
}

const isMetricsStream = (server: ServerName): boolean => ['received', 'written', 'synced'].includes(server);

/** Waits until the server has finished the load; a process that waits for its disk looks idle, too. */
async function untilSettled(server: ServerName, { pid, port }: Child): Promise<Exposition | undefined> {
  for (;;) {
    await untilIdle(pid);
    if (!isMetricsStream(server)) return undefined;
    const own = await readExposition(port);
    if (sampleOf(own, 'metricsstream_queue_depth') === 0) return own;
  }
}

/** Under `received` clients do not wait for the disk, so the bounded queue refuses what is too much for it. */
function checkAnswers(server: ServerName, runs: readonly WrkCounts[], own: Exposition | undefined): void {
  for (const { refused, socketErrors } of runs) {
    if (refused > 0 && server !== 'received') {
      throw new Error([`${refused} answers were not 2xx`, ...(own ? refusalsIn(own) : [])].join('; '));
    }
    if (socketErrors > 0) throw new Error(`${socketErrors} socket errors or timeouts`);
  }
}

/** Measures one cell. @throws when anything was refused, went wrong, or is not in the files */
export function measureCell({ server, workload, seconds, scratch }: CellOptions) {
  const { batch } = workload;
  const start = (dataDir: string) => startChild(argsOf(server, dataDir), SERVER_CORE);
  return withServer(scratch, start, async (child, dataDir, directory) => {
    const files = writeWrkFiles(directory, workload);
    const load = { port: child.port, files, connections: CONNECTIONS, core: LOAD_CORE };
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
    const counted = own && sampleOf(own, 'metricsstream_metrics_accepted_total');
    if (counted !== undefined && counted !== storedLines) {
      throw new Error(`${storedLines} lines stored, but the server counts ${counted} accepted`);
    }
    checkSamples(paths, workload);
    const accepted = counts.responses - counts.refused;
    return {
      server,
      batch,
      /** Requests whose metrics the server accepted. */
      accepted,
      /** Requests that the server refused; only where `received` outruns the disk. */
      refused: counts.refused,
      seconds: counts.seconds,
      /** Of the whole server process, from the start of the load until the server is idle again. */
      cpuSeconds: spent,
      requestsPerCpuSecond: accepted / spent,
      metricsPerCpuSecond: (accepted * batch) / spent,
      requestsPerSecond: accepted / counts.seconds,
      p50Ms: counts.p50Ms,
      p99Ms: counts.p99Ms,
      maxMs: counts.maxMs,
      ...memory,
      /** At the end, warm-up included; 0 for the bare server. */
      storedLines,
    };
  });
}
