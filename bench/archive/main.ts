/**
 * The archive beside VictoriaMetrics on the same series, timestamps and values: bytes on disk, CPU and memory; and what a
 * running archiver costs the server.
 *
 *     npm run bench:archive -- --size         # bytes, CPU, memory
 *     npm run bench:archive -- --ingest       # metrics per CPU second of the server, alone and beside an archiver
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { readManifest } from '../../src/archive/manifest.ts';
import { compareBeside } from '../beside/turns.ts';
import { argsOf } from '../compare/cell.ts';
import { CONTENDER } from '../compare/contenders.ts';
import { firstStamp, untilSettled } from '../compare/peer-cell.ts';
import { StampedClient } from '../compare/stamped-client.ts';
import { createStampedWorkload, type StampedWorkload } from '../compare/stamped-workload.ts';
import { options, roundsOr } from '../harness/options.ts';
import { machine } from '../report/origin.ts';
import { printTable } from '../report/table.ts';
import { sum } from '../statistics.ts';
import {
  type Child,
  inScratch,
  MAIN,
  SERVER_CORE,
  startChild,
  withChild,
  withServer,
} from '../under-test/process.ts';
import { diskBytes } from '../under-test/stored.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { CONNECTIONS } from '../under-test/wrk.ts';

const SCRATCH = '.artifacts/bench-archive';
const MAX_MEMORY = '512m';
const METRICS: Readonly<Record<number, number>> = { 1: 100_000, 100: 2_000_000, 1000: 4_000_000 };
/** A slow disk must not make the server refuse a part of the load. */
const PATIENT = ['--target-delay-ms', '60000', '--request-timeout-ms', '60000'];
async function send(
  child: Child,
  workload: StampedWorkload,
  name: 'written' | 'vm-json',
  first: number,
  requests: number,
): Promise<void> {
  const { path, encoding } = CONTENDER[name];
  const client = new StampedClient({
    ...{ port: child.port, path, encoding, workload, connections: Math.min(CONNECTIONS, requests) },
    ...{ firstStamp: first, requests },
  });
  await client.run();
  if (client.ledger.acknowledged !== requests)
    throw new Error(`${client.ledger.acknowledged} of ${requests} acknowledged`);
}

interface PassLine {
  readonly lines: number;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
}

function archiveOnce(dataDir: string): PassLine {
  const args = [MAIN, 'archive', '--once', '--priority', 'normal', '--max-memory', MAX_MEMORY];
  args.push('--data-dir', dataDir);
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as PassLine;
}

async function archiveSize(workload: StampedWorkload, first: number, requests: number) {
  return inScratch(SCRATCH, async (_directory, dataDir) => {
    const start = (): Promise<Child> => startChild([...argsOf('written', dataDir), ...PATIENT], SERVER_CORE);
    await withChild(start(), async (child) => {
      await send(child, workload, 'written', first, requests);
      await child.stop();
    });
    // The first commit of the next run closes the last segment of this one.
    await withChild(start(), async (child) => {
      await send(child, workload, 'written', first + requests, 1);
      await child.stop();
    });
    const pass = archiveOnce(dataDir);
    const metrics = requests * workload.batch;
    if (pass.lines !== metrics) throw new Error(`${pass.lines} of ${metrics} metrics archived`);
    const manifest = readManifest(dataDir);
    const bytesOf = (files: readonly { readonly bytes: number }[] = []): number =>
      sum(files.map(({ bytes }) => bytes));
    return {
      ndjson: bytesOf(manifest?.segments) / metrics,
      archive: bytesOf(manifest?.files) / metrics,
      onDisk: diskBytes(join(dataDir, 'archive')) / metrics,
      cpuUs: (pass.cpuSeconds * 1e6) / metrics,
      peakMiB: pass.peakMiB,
    };
  });
}

/** After its caches are flushed and all its parts merged, which is the least that it takes. */
function victoriaMetricsSize(workload: StampedWorkload, first: number, requests: number) {
  const contender = CONTENDER['vm-json'];
  return withServer(SCRATCH, contender.start, async (child, dataDir) => {
    await send(child, workload, 'vm-json', first, requests);
    for (const path of ['/internal/force_flush', '/internal/force_merge']) {
      await fetch(`http://127.0.0.1:${child.port}${path}`);
    }
    const metrics = requests * workload.batch;
    const kept = await contender.storage(child, dataDir).count();
    const settled = await untilSettled(child, dataDir, contender.quietMs);
    const cpu = cpuSeconds(child.pid);
    await child.stop();
    return {
      kept: kept / metrics,
      onDisk: settled.diskBytes / metrics,
      dataOnly: diskBytes(join(dataDir, 'data')) / metrics,
      cpuUs: (cpu * 1e6) / metrics,
    };
  });
}

async function sizes(): Promise<void> {
  console.log(machine());
  const rows: string[][] = [];
  for (const [batch, metrics] of Object.entries(METRICS)) {
    const workload = createStampedWorkload(Number(batch));
    const requests = metrics / workload.batch;
    const first = firstStamp();
    const ours = await archiveSize(workload, first, requests);
    const theirs = await victoriaMetricsSize(workload, first, requests);
    rows.push([
      ...[batch, String(metrics), String(workload.series)],
      ...[ours.ndjson.toFixed(1), ours.archive.toFixed(2), ours.onDisk.toFixed(2)],
      ...[theirs.onDisk.toFixed(2), theirs.dataOnly.toFixed(2), theirs.kept.toFixed(4)],
      ...[ours.cpuUs.toFixed(2), String(ours.peakMiB)],
    ]);
    console.log(JSON.stringify({ batch, metrics, series: workload.series, ours, theirs }));
  }
  const head = ['metrics a request', 'metrics', 'series', 'NDJSON bytes', 'Parquet bytes', 'archive on disk'];
  head.push('VictoriaMetrics on disk', 'its data only', 'kept by it', 'archive µs CPU', 'archive peak MiB');
  printTable({ head, rows });
}

function ingest(): Promise<void> {
  const command = ['archive', '--interval', '100ms', '--delete-segments', '--priority'];
  return compareBeside({
    settings: [
      { name: 'alone', command: null },
      { name: 'beside, low priority', command: [...command, 'low'] },
      // It archives even if the load leaves no time for a process that yields to all else.
      { name: 'beside, normal priority', command: [...command, 'normal'] },
    ],
    rounds: roundsOr(5),
    seconds: 8,
    serverArgs: ['--segment-bytes', '16m'],
    handled: (dataDir) => readManifest(dataDir)?.archivedLines ?? 0,
  });
}

if (options.size) await sizes();
if (options.ingest) await ingest();
