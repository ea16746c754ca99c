/** Runs `metricsstream export`. */
import { randomBytes } from 'node:crypto';
import os from 'node:os';
import { MetricsStreamError } from '../base/errors.ts';
import { createLogger } from '../base/log.ts';
import { LogOutput } from '../base/log-output.ts';
import { lowerThreadPriority } from '../base/thread-priority.ts';
import { Exporter, type ExporterOptions } from '../export/exporter.ts';
import { ExportMetrics } from '../export/metrics.ts';
import { startOf } from '../export/start.ts';
import { isSinkName, readCursorFiles } from '../storage/cursor-file.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { statusText } from './export-status.ts';
import { printError } from './output.ts';
import { exposeProcess, stopOnSignal } from './process.ts';
import type { ProcessFlags } from './process-options.ts';
import type { SinkKind } from './sink-kind.ts';
import { sinkKindOf } from './sink-kinds.ts';

const EXIT_FENCED = 3;
const LOG_END_MS = 1_000;

/** As commander parses them; each kind of sink reads its own besides. */
interface ExportFlags extends ProcessFlags {
  readonly [flag: string]: unknown;
  readonly to?: string;
  readonly dataDir: string;
  readonly name?: string;
  readonly init?: true;
  readonly printSchema?: true;
  readonly status?: true;
  readonly json?: true;
  readonly once?: true;
  readonly from?: string;
  readonly acceptMissing?: true;
  readonly rangeBytes: number;
  readonly rangeAge: number;
  readonly priority: 'low' | 'normal';
}

/** @returns the exit code */
export async function exportAction(flags: ExportFlags): Promise<number> {
  const { to, status, json, printSchema, init } = flags;
  if (status === true) {
    process.stdout.write(statusText(await readCursorFiles(flags.dataDir), json === true));
    return 0;
  }
  if (to === undefined)
    throw new MetricsStreamError('CONFIG_INVALID', '--to: name the sink, such as postgres://host/database');
  const kind = sinkKindOf('--to', to);
  if (printSchema === true) {
    process.stdout.write(await kind.schema(flags));
    return 0;
  }
  if (init === true) {
    process.stdout.write(`${await kind.init(to, flags)}\n`);
    return 0;
  }
  return ship(kind, to, flags);
}

/** A server on this machine then pays less for switches between the two. */
const STEPS_BELOW_CALLER = os.constants.priority.PRIORITY_BELOW_NORMAL;

async function ship(kind: SinkKind, to: string, flags: ExportFlags): Promise<number> {
  if (flags.priority === 'low') lowerThreadPriority(STEPS_BELOW_CALLER);
  const options = await exporterOptions(kind, flags);
  const output = new LogOutput(null);
  const logger = createLogger(flags.logLevel, output, false);
  const metrics = new ExportMetrics(options.name);
  const exporter = new Exporter(options, await kind.open(to, flags), logger, metrics);
  const stop = stopOnSignal(logger, 'the range on its way');
  const server = await exposeProcess(flags, metrics.registry, exporter, logger);
  try {
    await exporter.run(stop);
    return 0;
  } catch (error) {
    if (!(error instanceof MetricsStreamError) || error.code !== 'SINK_FENCED') throw error;
    printError(error.message);
    return EXIT_FENCED;
  } finally {
    server?.close();
    await output.end(LOG_END_MS);
  }
}

async function exporterOptions(kind: SinkKind, flags: ExportFlags): Promise<ExporterOptions> {
  const { dataDir, name = kind.name, rangeBytes, rangeAge: rangeAgeMs, from } = flags;
  if (!isSinkName(name))
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `--name ${name}: use letters a to z, digits, dots, - and _, at most 64`,
    );
  // A directory that cannot be read is an error before anything else happens.
  segmentsOf(dataDir);
  return {
    dataDir,
    name,
    rangeBytes,
    rangeAgeMs,
    writer: `${os.hostname()}:${process.pid}:${randomBytes(4).toString('hex')}`,
    once: flags.once === true,
    acceptMissing: flags.acceptMissing === true,
    start: from === undefined ? null : await startOf(dataDir, from),
  };
}
