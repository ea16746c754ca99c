/**
 * The archive beside VictoriaMetrics on the same series, timestamps and values: bytes on disk, CPU and memory; and what a
 * running archiver costs the server.
 *
 *     npm run bench:archive -- --size         # bytes, CPU, memory
 *     npm run bench:archive -- --ingest       # metrics per CPU second of the server, alone and beside an archiver
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { textTable } from '../../load-test/format.ts';
import { readManifest } from '../../src/archive/manifest.ts';
import { argsOf } from '../compare/cell.ts';
import { CONTENDER } from '../compare/contenders.ts';
import { firstStamp } from '../compare/peer-cell.ts';
import { StampedClient } from '../compare/stamped-client.ts';
import {
  createStampedWorkload,
  type StampedWorkload,
  writeStampedFiles,
} from '../compare/stamped-workload.ts';
import { machine } from '../report/origin.ts';
import { medianOf } from '../statistics.ts';
import {
  type Child,
  inScratch,
  LOAD_CORE,
  MAIN,
  SERVER_CORE,
  startChild,
  withChild,
} from '../under-test/process.ts';
import { diskBytes } from '../under-test/stored.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { CONNECTIONS, runWrk } from '../under-test/wrk.ts';

const SCRATCH = '.artifacts/bench-archive';
const MAX_MEMORY = '512m';
const METRICS: Readonly<Record<number, number>> = { 1: 100_000, 100: 2_000_000, 1000: 4_000_000 };
/** Longer than VictoriaMetrics' background timers. */
const QUIET_MS = 11_000;
/** A slow disk must not make the server refuse a part of the load. */
const PATIENT = ['--target-delay-ms', '60000', '--request-timeout-ms', '60000'];
const ROUNDS = 5;
const ROUND_SECONDS = 8;
/** At normal priority it archives even if the load leaves no time for one that yields to all else. */
const SETTINGS = ['alone', 'beside, low priority', 'beside, normal priority'] as const;
type Setting = (typeof SETTINGS)[number];

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
  const args = [
    MAIN,
    ...`archive --once --priority normal --max-memory ${MAX_MEMORY} --data-dir`.split(' '),
    dataDir,
  ];
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
    const bytes = manifest?.files.reduce((sum, file) => sum + file.bytes, 0) ?? 0;
    const sourceBytes = manifest?.segments.reduce((sum, segment) => sum + segment.bytes, 0) ?? 0;
    return {
      ndjson: sourceBytes / metrics,
      archive: bytes / metrics,
      onDisk: diskBytes(join(dataDir, 'archive')) / metrics,
      cpuUs: (pass.cpuSeconds * 1e6) / metrics,
      peakMiB: pass.peakMiB,
    };
  });
}

/** After its caches are flushed and all its parts merged, which is the least that it takes. */
async function victoriaMetricsSize(workload: StampedWorkload, first: number, requests: number) {
  return inScratch(SCRATCH, (_directory, dataDir) =>
    withChild(CONTENDER['vm-json'].start(dataDir), async (child) => {
      await send(child, workload, 'vm-json', first, requests);
      for (const path of ['/internal/force_flush', '/internal/force_merge']) {
        await fetch(`http://127.0.0.1:${child.port}${path}`);
      }
      const metrics = requests * workload.batch;
      const kept = await CONTENDER['vm-json'].storage(child, dataDir).count();
      let bytes = diskBytes(dataDir);
      for (let quietMs = 0; quietMs < QUIET_MS; quietMs += 500) {
        await sleep(500);
        const now = diskBytes(dataDir);
        if (now !== bytes) quietMs = 0;
        bytes = now;
      }
      const cpu = cpuSeconds(child.pid);
      await child.stop();
      return {
        kept: kept / metrics,
        onDisk: bytes / metrics,
        dataOnly: diskBytes(join(dataDir, 'data')) / metrics,
        cpuUs: (cpu * 1e6) / metrics,
      };
    }),
  );
}

async function sizes(): Promise<void> {
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
  console.log(textTable([head, ...rows]));
}

/** Metrics per CPU second of the server over one load, and metrics that were archived during it. */
async function ingestRound(
  workload: StampedWorkload,
  setting: Setting,
): Promise<{ perCpuSecond: number; archived: number }> {
  return inScratch(SCRATCH, (directory, dataDir) =>
    withChild(
      startChild([...argsOf('written', dataDir), '--segment-bytes', '16m'], SERVER_CORE),
      async (child) => {
        const { encoding, path } = CONTENDER.written;
        const files = writeStampedFiles(directory, workload, encoding);
        const load = { port: child.port, path, connections: CONNECTIONS, core: LOAD_CORE };
        const first = firstStamp();
        await runWrk({ ...load, files: files(first), seconds: 2 });
        const priority = setting === 'beside, normal priority' ? 'normal' : 'low';
        const args = [MAIN, 'archive', '--interval', '100ms', '--delete-segments', '--priority', priority];
        const archiver =
          setting === 'alone'
            ? null
            : spawn(process.execPath, [...args, '--data-dir', dataDir], { stdio: 'ignore' });
        if (archiver !== null) await sleep(1_000);
        const archivedBefore = readManifest(dataDir)?.archivedLines ?? 0;
        const before = cpuSeconds(child.pid);
        const counts = await runWrk({ ...load, files: files(first + 1_000_000), seconds: ROUND_SECONDS });
        const spent = cpuSeconds(child.pid) - before;
        const archived = (readManifest(dataDir)?.archivedLines ?? 0) - archivedBefore;
        if (archiver !== null) {
          const exited = once(archiver, 'exit');
          archiver.kill('SIGKILL');
          await exited;
        }
        await child.stop();
        return { perCpuSecond: ((counts.responses - counts.refused) * workload.batch) / spent, archived };
      },
    ),
  );
}

async function ingest(): Promise<void> {
  const workload = createStampedWorkload(100);
  const figures = new Map(SETTINGS.map((setting) => [setting, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const setting of SETTINGS) {
      const { perCpuSecond, archived } = await ingestRound(workload, setting);
      figures.get(setting)!.push(perCpuSecond);
      console.log(
        `${setting}: ${Math.round(perCpuSecond / 1e3)} thousand metrics per CPU second, ${archived} archived meanwhile`,
      );
    }
  }
  const alone = medianOf(figures.get('alone')!);
  for (const [setting, values] of figures)
    console.log(`${setting}: ${((100 * medianOf(values)) / alone).toFixed(1)}% of alone, by medians`);
}

console.log(machine());
if (process.argv.includes('--size')) await sizes();
if (process.argv.includes('--ingest')) await ingest();
