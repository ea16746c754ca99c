/** Every metric of a data directory, from the archive and from the segments, each commit counted where it counts. */
import fs from 'node:fs';
import { join } from 'node:path';
import { openArchive } from '../../src/archive/archive-snapshot.ts';
import { archivedMetrics } from '../../src/archive/archived-metrics.ts';
import { includes } from '../../src/archive/commit-ranges.ts';
import { openDuckDB } from '../../src/duckdb/duckdb.ts';
import { nodeFileOps as ops } from '../../src/storage/file-ops.ts';
import { listSegments, segmentName } from '../../src/storage/segment-name.ts';
import { readLines, readSegment } from '../../src/storage/segment-reader.ts';

export interface CommittedMetric {
  readonly timestamp: number;
  readonly name: string;
  readonly value: number;
  readonly type: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly commit: number;
}

type Connection = Awaited<ReturnType<typeof openDuckDB>>;

/** A small database, to be shared: opening one costs 100 ms. */
export function openReader(): Promise<Connection> {
  return openDuckDB({ maxMemoryBytes: 256 << 20, threads: 1, spillDirectory: '', spillBytes: 0 });
}

/** Reads archive files with the columns of `metrics`. */
async function readArchived(database: Connection, paths: readonly string[]): Promise<CommittedMetric[]> {
  if (paths.length === 0) return [];
  const reader = await database.runAndReadAll(
    `SELECT epoch_ms(time), name, value, type, to_json(tags)::VARCHAR, commit FROM ${archivedMetrics(paths)}`,
  );
  return reader.getRows().map(([timestamp, name, value, type, tags, commit]) => ({
    timestamp: Number(timestamp),
    name: String(name),
    value: value as number,
    type: String(type),
    tags: JSON.parse(String(tags)) as Record<string, string>,
    commit: Number(commit),
  }));
}

/** The metrics at one moment, in the order of their commits, while other processes write, archive and delete. */
export async function readMetrics(database: Connection, dataDir: string): Promise<CommittedMetric[]> {
  for (;;) {
    const archive = openArchive(dataDir);
    try {
      const live = readSegments(dataDir, (commit) => !includes(archive.commits, commit));
      if (!archive.isCurrent()) continue;
      const archived = await readArchived(
        database,
        archive.files.map(({ openPath }) => openPath),
      );
      return [...archived, ...live].sort((a, b) => a.commit - b.commit);
    } finally {
      archive.close();
    }
  }
}

function readSegments(dataDir: string, wanted: (commit: number) => boolean): CommittedMetric[] {
  const metrics: CommittedMetric[] = [];
  for (const sequence of listSegments(ops, dataDir)) {
    let fd: number;
    try {
      fd = fs.openSync(join(dataDir, segmentName(sequence)), 'r');
    } catch {
      // Deleted since it was listed: the manifest has changed.
      continue;
    }
    try {
      for (const item of readSegment(ops, fd)) {
        if (item.kind !== 'good' || !wanted(item.commit)) continue;
        const text = readLines(ops, fd, item)?.toString('utf8') ?? '';
        for (const line of text.trimEnd().split('\n')) {
          const { tags = {}, ...metric } = JSON.parse(line) as Partial<CommittedMetric>;
          metrics.push({ ...metric, tags, commit: item.commit } as CommittedMetric);
        }
      }
    } finally {
      fs.closeSync(fd);
    }
  }
  return metrics;
}
