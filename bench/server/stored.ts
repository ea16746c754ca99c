/** Counts and samples what a server left in its data directory. */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { storedLine, type Workload, type WorkloadMetric } from './workload.ts';

const SAMPLE_BYTES = 64 << 10;

export function dataFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^metrics-.*\.ndjson$/.test(name))
    .sort()
    .map((name) => join(directory, name));
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
