/** A data directory with small segments, and archiver passes over it in the test's own process. */
import fs from 'node:fs';
import { join } from 'node:path';
import { Archiver, type ArchiverOptions, type ArchiveTotals } from '../../src/archive/archiver.ts';
import { type Manifest, readManifest } from '../../src/archive/manifest.ts';
import { memoryPlan } from '../../src/archive/memory-plan.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { readLogRecord } from '../../src/storage/log-record.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { temporaryDirectory } from './server-process.ts';
import { type CommittedMetric, openReader, readMetrics } from './stored-metrics.ts';
import { WriterRig } from './writer-rig.ts';

export interface PassResult {
  readonly manifest: Manifest;
  readonly totals: ArchiveTotals;
  readonly warnings: readonly string[];
}

type Input = Omit<CommittedMetric, 'commit' | 'tags' | 'type'> &
  Partial<Pick<CommittedMetric, 'tags' | 'type'>>;

/** The line of a metric, as the server encodes it. */
export function lineOf({ timestamp, name, value, type = 'gauge', tags }: Input): string {
  const number = Object.is(value, -0) ? '-0' : JSON.stringify(value);
  const members = `{"timestamp":${timestamp},"name":${JSON.stringify(name)},"value":${number},"type":"${type}"`;
  return `${members}${tags === undefined ? '' : `,"tags":${JSON.stringify(tags)}`}}\n`;
}

export class ArchiveRig {
  readonly dataDir: string;
  private readonly database = openReader();

  constructor(owner: Owner, dataDir = temporaryDirectory(owner)) {
    this.dataDir = dataDir;
    onEnd(owner, async () => (await this.database).closeSync());
  }

  /** Stores one commit for each text, each in a segment of its own, and a last one that stays open. */
  async store(
    texts: readonly string[],
    last = lineOf({ timestamp: 0, name: 'open', value: 0 }),
  ): Promise<void> {
    const rig = new WriterRig({ dataDir: this.dataDir, config: { segmentBytes: 1 } });
    for (const text of [...texts, last]) rig.store(text);
    await rig.stop();
  }

  async pass(options: Partial<ArchiverOptions> = {}): Promise<PassResult> {
    const warnings: string[] = [];
    const { record } = readLogRecord(nodeFileOps, this.dataDir);
    const archiver = new Archiver(
      {
        dataDir: this.dataDir,
        log: record?.id ?? '',
        memory: memoryPlan(320 << 20),
        threads: 1,
        deleteSegments: false,
        requiredSinks: [],
        retentionAgeMs: 0,
        retentionBytes: 0,
        ...options,
      },
      { warn: (text) => warnings.push(text) },
    );
    const manifest = await archiver.pass(new AbortController().signal);
    return { manifest, totals: archiver.totals, warnings };
  }

  /** All metrics but the one that keeps the last segment open. */
  async metrics(): Promise<CommittedMetric[]> {
    return (await readMetrics(await this.database, this.dataDir)).filter(({ name }) => name !== 'open');
  }

  manifest(): Manifest {
    const manifest = readManifest(this.dataDir);
    if (manifest === null) throw new Error('there is no archive');
    return manifest;
  }

  archived(path: string): string {
    return join(this.dataDir, 'archive', path);
  }

  /** Files of all partitions, whether they are listed or not. */
  found(): string[] {
    return fs
      .readdirSync(join(this.dataDir, 'archive'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.includes('parquet'))
      .sort();
  }

  segments(): string[] {
    return fs
      .readdirSync(this.dataDir)
      .filter((name) => /^metrics-\d+\.ndjson$/.test(name))
      .sort();
  }
}
