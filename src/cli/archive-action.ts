/** Runs `metricsstream archive`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ArchiveFiles } from '../archive/archive-files.ts';
import { lockArchive } from '../archive/archive-lock.ts';
import { Archiver, type ArchiveTotals } from '../archive/archiver.ts';
import { sizeOf } from '../archive/commit-ranges.ts';
import { lagOf } from '../archive/lag.ts';
import { lowerPriority } from '../archive/low-priority.ts';
import type { Manifest } from '../archive/manifest.ts';
import { memoryPlan, memoryWithin } from '../archive/memory-plan.ts';
import { ArchiveMetrics } from '../archive/metrics.ts';
import { reportProgress } from '../archive/sinks.ts';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { createLogger, type Logger } from '../base/log.ts';
import { LogOutput } from '../base/log-output.ts';
import { memoryLimit } from '../base/memory-limit.ts';
import { MIB, MS_PER_SECOND, US_PER_SECOND } from '../base/units.ts';
import { logIdOf } from '../export/log-id.ts';
import { isSinkName } from '../storage/cursor-file.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { isFileError } from '../storage/file-ops.ts';
import { exposeProcess, stopOnSignal } from './process.ts';
import type { ProcessFlags } from './process-options.ts';

const KIB = 1_024;
/** Files are as readable as segments are. */
const FILES_UMASK = 0o027;
const LOG_END_MS = 1_000;

interface ArchiveFlags extends ProcessFlags {
  readonly dataDir: string;
  readonly once: boolean;
  readonly interval: number;
  readonly deleteSegments: boolean;
  readonly requiredSinks: string;
  readonly maxMemory: number;
  readonly threads: number;
  readonly retentionAge: number;
  readonly retentionBytes: number;
  readonly priority: 'low' | 'normal';
}

/** @returns the exit code */
export async function archiveAction(flags: ArchiveFlags): Promise<number> {
  const { dataDir } = flags;
  const requiredSinks = sinkNames(flags.requiredSinks);
  // A directory that cannot be read is an error before anything else happens.
  segmentsOf(dataDir);
  const memoryBytes = memoryWithin(memoryLimit(), flags.maxMemory);
  process.umask(FILES_UMASK);
  if (flags.priority === 'low') lowerPriority();
  const output = new LogOutput(null);
  const logger = createLogger(flags.logLevel, output, false);
  const archiver = new Archiver(
    {
      dataDir,
      log: logIdOf(dataDir),
      memory: memoryPlan(memoryBytes),
      threads: flags.threads,
      deleteSegments: flags.deleteSegments,
      requiredSinks,
      retentionAgeMs: flags.retentionAge,
      retentionBytes: flags.retentionBytes,
    },
    { warn: (text) => logger.warn(text) },
  );
  const release = await prepare(archiver, dataDir);
  const service = new Service(flags, archiver, logger);
  try {
    return await service.run();
  } finally {
    await release();
    await output.end(LOG_END_MS);
  }
}

async function prepare(archiver: Archiver, dataDir: string): Promise<() => Promise<void>> {
  archiver.createDirectory();
  return lockArchive(new ArchiveFiles(dataDir).directory);
}

function sinkNames(list: string): string[] {
  const names = list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const wrong = names.find((name) => !isSinkName(name));
  if (wrong === undefined) return names;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `--required-sinks ${wrong}: use letters a to z, digits, dots, - and _, at most 64`,
  );
}

function round(seconds: number): number {
  return Number(seconds.toFixed(3));
}

class Service {
  private readonly flags: ArchiveFlags;
  private readonly archiver: Archiver;
  private readonly logger: Logger;
  private readonly metrics: ArchiveMetrics;
  private readonly stop: AbortSignal;
  /** Why the last pass failed, or null. */
  problem: string | null = null;
  /** Whether the last report of the lag succeeded. */
  private isLagReported = true;

  constructor(flags: ArchiveFlags, archiver: Archiver, logger: Logger) {
    this.flags = flags;
    this.archiver = archiver;
    this.logger = logger;
    this.metrics = new ArchiveMetrics(archiver.totals);
    this.stop = stopOnSignal(logger, 'the batch at hand');
  }

  async run(): Promise<number> {
    const { once, interval } = this.flags;
    const server = await exposeProcess(this.flags, this.metrics.registry, this, this.logger);
    try {
      for (;;) {
        const ok = await this.pass();
        if (once) return ok ? 0 : 1;
        if (this.stop.aborted) return 0;
        await sleep(interval, undefined, { signal: this.stop }).catch(() => {});
        if (this.stop.aborted) return 0;
      }
    } finally {
      server?.close();
    }
  }

  /** False when the pass failed. */
  private async pass(): Promise<boolean> {
    const { dataDir } = this.flags;
    const before = { ...this.archiver.totals };
    const startMs = performance.now();
    const startCpu = process.cpuUsage();
    try {
      const manifest = await this.archiver.pass(this.stop);
      const { user, system } = process.cpuUsage(startCpu);
      const seconds = round((performance.now() - startMs) / MS_PER_SECOND);
      const cpuSeconds = round((user + system) / US_PER_SECOND);
      this.metrics.set({ pass_seconds: seconds, pass_cpu_seconds: cpuSeconds });
      this.report(manifest, before, {
        seconds,
        cpuSeconds,
        peakMiB: Math.ceil((process.resourceUsage().maxRSS * KIB) / MIB),
      });
      this.problem = null;
      this.metrics.set({ up: 1, last_success_timestamp_seconds: Date.now() / MS_PER_SECOND });
      return true;
    } catch (error) {
      if (!(error instanceof MetricsStreamError)) throw error;
      this.problem = error.message;
      this.metrics.failed();
      this.metrics.set({ up: 0 });
      this.reportLag(dataDir, null);
      if (this.flags.once) throw error;
      this.logger.error({ code: error.code }, error.message);
      return false;
    }
  }

  private report(manifest: Manifest, before: ArchiveTotals, cost: Readonly<Record<string, number>>): void {
    const { dataDir } = this.flags;
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    this.metrics.set({
      files: manifest.files.length,
      bytes,
      damaged_segments: manifest.segments.filter(({ damagedBytes }) => damagedBytes > 0).length,
    });
    this.reportLag(dataDir, manifest);
    const { totals } = this.archiver;
    const done = Object.fromEntries(
      Object.entries(totals)
        .map(([name, total]) => [name, total - before[name as keyof ArchiveTotals]] as const)
        .filter(([, count]) => count > 0),
    );
    const nothing = Object.keys(done).length === 0;
    const archived = { commits: sizeOf(manifest.commits), files: manifest.files.length, bytes };
    const level = nothing && !this.flags.once ? 'debug' : 'info';
    this.logger[level]({ ...done, ...cost, archive: archived }, nothing ? 'nothing to archive' : 'archived');
  }

  /** A failure is logged only: it neither undoes a pass nor ends the service, and the next pass reports again. */
  private reportLag(dataDir: string, manifest: Manifest | null): void {
    try {
      const lag = lagOf(dataDir, manifest);
      this.metrics.set({ lag_segments: lag.segments, lag_bytes: lag.bytes, lag_seconds: lag.seconds });
      if (manifest !== null) reportProgress(dataDir, manifest, lag);
      this.isLagReported = true;
    } catch (error) {
      if (!(error instanceof MetricsStreamError || isFileError(error))) throw error;
      if (this.isLagReported)
        this.logger.warn(
          { error: systemErrorText(error) },
          'cannot report how far the archive is: with --required-sinks archive, a server keeps what is archived from now on',
        );
      this.isLagReported = false;
    }
  }
}
