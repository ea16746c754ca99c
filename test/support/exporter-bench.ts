/** Runs exporters of one log, each into the same sink of files. */
import fs from 'node:fs';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { Exporter, type ExporterOptions } from '../../src/export/exporter.ts';
import { ExportMetrics } from '../../src/export/metrics.ts';
import { DirectorySink } from './directory-sink.ts';
import { temporaryDirectory } from './writer-rig.ts';

export const SILENT = pino({ level: 'silent' });
export const OPTIONS: Omit<ExporterOptions, 'dataDir'> = {
  name: 'files',
  writer: 'one',
  rangeBytes: 4_096,
  rangeAgeMs: 20,
  once: true,
  acceptMissing: false,
  start: null,
};

interface Run {
  readonly sink: DirectorySink;
  readonly metrics: ExportMetrics;
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export class Bench {
  readonly dataDir: string;
  readonly sinkDir = temporaryDirectory();

  constructor(test: TestContext, dataDir: string) {
    this.dataDir = dataDir;
    test.after(() => {
      for (const directory of [dataDir, this.sinkDir]) fs.rmSync(directory, { recursive: true, force: true });
    });
  }

  start(options: Partial<ExporterOptions> = {}): Run {
    const metrics = new ExportMetrics('files');
    let sink: DirectorySink | undefined;
    const exporter = new Exporter(
      { ...OPTIONS, dataDir: this.dataDir, ...options },
      (context) => {
        sink = new DirectorySink(this.sinkDir, context);
        return sink;
      },
      SILENT,
      metrics,
    );
    const stop = new AbortController();
    // The caller may set failures first.
    const ended = Promise.resolve().then(() => exporter.run(stop.signal));
    ended.catch(() => {});
    return {
      sink: sink!,
      metrics,
      ended,
      stop: () => {
        stop.abort();
        return ended;
      },
    };
  }
}

export const failsWith = (code: string, pattern: RegExp) => (error: Error & { code?: string }) =>
  error.code === code && pattern.test(error.message);
