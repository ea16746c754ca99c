/** Counts and samples what a server left in its data directory. */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { storedLine, type Workload, type WorkloadMetric } from './workload.ts';
import { CONNECTIONS, type WrkCounts } from './wrk.ts';

const SAMPLE_BYTES = 64 << 10;
const BLOCK_BYTES = 512;

export function dataFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^metrics-.*\.ndjson$/.test(name))
    .sort()
    .map((name) => join(directory, name));
}

/** Bytes that the files of a directory take on the disk; holes take none. */
export function diskBytes(directory: string): number {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((path) => statSync(join(directory, path), { throwIfNoEntry: false }))
    .reduce((sum, stat) => (stat?.isFile() ? sum + stat.blocks * BLOCK_BYTES : sum), 0);
}

/** Lines in all files: one a metric, seals being members of such lines. */
export function countLines(files: readonly string[]): number {
  if (files.length === 0) return 0;
  const counts = execFileSync('wc', ['-l', '--', ...files], { encoding: 'utf8' })
    .trim()
    .split('\n');
  // With several files the last line is their sum.
  return Number.parseInt(counts.at(-1)?.trim() ?? '', 10);
}

/**
 * wrk stops with requests in flight: the server may have stored up to one a connection that wrk never counted.
 * @throws for less, or more, or a part of a batch: then an answer and the files disagree
 */
export function checkStored(stored: number, batch: number, runs: readonly WrkCounts[]): void {
  const answered = runs.reduce((sum, { responses, refused }) => sum + responses - refused, 0);
  const uncounted = stored / batch - answered;
  const allowed = runs.length * CONNECTIONS;
  if (Number.isInteger(uncounted) && uncounted >= 0 && uncounted <= allowed) return;
  throw new Error(
    `${stored} lines stored, but ${answered} answers × ${batch} = ${answered * batch} acknowledged ` +
      `(up to ${allowed} requests in flight when wrk stopped may be stored besides)`,
  );
}

/**
 * Checks that the lines at the start and the end of each file are metrics that were sent.
 * @throws with the first line that is not
 */
export function checkSamples(files: readonly string[], { lines }: Workload): void {
  for (const file of files) {
    const descriptor = openSync(file, 'r');
    try {
      const { size } = fstatSync(descriptor);
      for (const position of [0, Math.max(0, size - SAMPLE_BYTES)]) {
        const sample = Buffer.alloc(Math.min(SAMPLE_BYTES, size - position));
        readSync(descriptor, sample, 0, sample.length, position);
        const whole = sample
          .toString('utf8')
          .split('\n')
          .slice(position === 0 ? 0 : 1, -1);
        const wrong = whole.find((line) => !lines.has(storedLine(JSON.parse(line) as WorkloadMetric)));
        if (wrong !== undefined) throw new Error(`${file} has a line that was never sent: ${wrong}`);
      }
    } finally {
      closeSync(descriptor);
    }
  }
}

const TIMESTAMP_PREFIX = Buffer.from('{"timestamp":', 'latin1');
const TIMESTAMP_DIGITS = 13;
const READ_BYTES = 4 << 20;
const NEWLINE = 0x0a;

/** @throws when a line does not begin with a timestamp of 13 digits */
function timestampAt(bytes: Buffer, at: number): number {
  const from = at + TIMESTAMP_PREFIX.length;
  if (bytes.compare(TIMESTAMP_PREFIX, 0, TIMESTAMP_PREFIX.length, at, from) !== 0) {
    throw new Error(`a line begins with ${bytes.toString('utf8', at, from + TIMESTAMP_DIGITS)}`);
  }
  let timestamp = 0;
  for (let digit = from; digit < from + TIMESTAMP_DIGITS; digit++) {
    timestamp = timestamp * 10 + (bytes[digit] as number) - 0x30;
  }
  return timestamp;
}

/** Visits the timestamp of each complete line; hundreds of millions of bytes a second, which parsing could not. */
export function forEachTimestamp(files: readonly string[], visit: (timestamp: number) => void): void {
  const buffer = Buffer.alloc(READ_BYTES);
  for (const file of files) {
    const descriptor = openSync(file, 'r');
    try {
      // The rest of the last read: the beginning of a line.
      let kept = 0;
      for (;;) {
        const length = readSync(descriptor, buffer, kept, buffer.length - kept, null);
        if (length === 0) break;
        const bytes = buffer.subarray(0, kept + length);
        let at = 0;
        for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, at)) {
          visit(timestampAt(bytes, at));
          at = end + 1;
        }
        bytes.copy(buffer, 0, at);
        kept = bytes.length - at;
      }
    } finally {
      closeSync(descriptor);
    }
  }
}
