/** Reads a data directory as any user of the files would: plain NDJSON, line by line. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface StoredMetric {
  readonly timestamp: number;
  readonly name: string;
  readonly value: number;
  readonly type: string;
  readonly tags?: Readonly<Record<string, string>>;
}

export interface StoredLine extends StoredMetric {
  /** Present in the last line of each commit. */
  readonly seal?: Readonly<Record<string, unknown>>;
}

const SEGMENT_NAME = /^metrics-(\d+)\.ndjson$/;

/** Paths of the segments in the order of their sequence. */
export function segmentPaths(dataDir: string): string[] {
  return readdirSync(dataDir)
    .filter((name) => SEGMENT_NAME.test(name))
    .sort((a, b) => Number(SEGMENT_NAME.exec(a)?.[1]) - Number(SEGMENT_NAME.exec(b)?.[1]))
    .map((name) => join(dataDir, name));
}

/**
 * The lines of one segment, seals included. Empty lines are space not yet written; a last line without its newline is
 * still being written.
 * @throws if a line is not JSON
 */
function readSegment(path: string): StoredLine[] {
  const text = readFileSync(path, 'utf8');
  const end = text.lastIndexOf('\n') + 1;
  const lines: StoredLine[] = [];
  for (const [index, line] of text.slice(0, end).split('\n').entries()) {
    if (line === '') continue;
    try {
      lines.push(JSON.parse(line) as StoredLine);
    } catch (error) {
      throw new Error(`${path} line ${index + 1} is not JSON: ${line.slice(0, 200)}`, { cause: error });
    }
  }
  return lines;
}

function withoutSeal({ seal: _, ...metric }: StoredLine): StoredMetric {
  return metric;
}

/** Every metric of a data directory in the order stored. */
export function readStored(dataDir: string): StoredMetric[] {
  return segmentPaths(dataDir).flatMap((path) => readSegment(path).map(withoutSeal));
}

/** How often each name was stored. */
export function countNames(metrics: readonly StoredMetric[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name } of metrics) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
