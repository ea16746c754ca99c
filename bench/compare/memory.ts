/**
 * Resident memory of the server at its default settings under load for minutes: at most 200 MB, and flat. The
 * defaults include the request limit, so most of what wrk sends is refused; refusals have to cost no memory either.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CONNECTIONS, WRK_CORE } from './cell.ts';
import { type Child, memoryOf, startChild } from './child.ts';
import type { RunInfo } from './report.ts';
import { createWorkload, writeWrkFiles } from './workload.ts';
import { runWrk, type WrkCounts } from './wrk.ts';

const LIMIT_BYTES = 200e6;
/** A slope below this over the last minutes counts as flat. */
const FLAT_BYTES_PER_MINUTE = 2e6;
/** Buffers are touched for the first time, and code is compiled, in the first part; the slope is that of the rest. */
const SETTLING_PART = 0.2;
const SAMPLE_MS = 1_000;
const SHOWN_ROWS = 20;
/** Metrics a request: at the default limit of 10,000 requests a second some 12 MB/s of files. */
const BATCH = 10;

interface MemorySample {
  readonly seconds: number;
  readonly residentBytes: number;
}

export interface MemoryResult {
  readonly samples: readonly MemorySample[];
  readonly peakBytes: number;
  readonly slopeBytesPerMinute: number;
  readonly responses: number;
  readonly refused: number;
  readonly passed: boolean;
}

/** Least squares, bytes a minute. */
function slopeOf(samples: readonly MemorySample[]): number {
  const mean = (pick: (sample: MemorySample) => number): number =>
    samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  const meanSeconds = mean(({ seconds }) => seconds);
  const meanBytes = mean(({ residentBytes }) => residentBytes);
  const covariance = mean((s) => (s.seconds - meanSeconds) * (s.residentBytes - meanBytes));
  const variance = mean((s) => (s.seconds - meanSeconds) ** 2);
  return (covariance / variance) * 60;
}

async function sampleDuring(child: Child, load: Promise<WrkCounts>): Promise<MemorySample[]> {
  const samples: MemorySample[] = [];
  const start = performance.now();
  let loading = true;
  const ended = load.finally(() => {
    loading = false;
  });
  while (loading) {
    const { residentBytes } = memoryOf(child.pid);
    samples.push({ seconds: (performance.now() - start) / 1e3, residentBytes });
    await Promise.race([sleep(SAMPLE_MS), ended]);
  }
  return samples;
}

/** Loads a server at default settings and samples its memory each second. */
export async function measureMemory(
  minutes: number,
  scratch: string,
  progress: (text: string) => void,
): Promise<MemoryResult> {
  const directory = mkdtempSync(join(scratch, 'memory-'));
  const removeAll = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', removeAll);
  let child: Child | undefined;
  try {
    const dataDir = join(directory, 'data');
    mkdirSync(dataDir);
    const files = writeWrkFiles(directory, createWorkload(BATCH));
    const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
    child = await startChild([main, 'serve', '--port', '0', '--data-dir', dataDir], undefined);
    progress(`loading a server at default settings for ${minutes} minutes`);
    const seconds = Math.round(minutes * 60);
    const load = runWrk({ port: child.port, files, connections: CONNECTIONS, seconds, core: WRK_CORE });
    const samples = await sampleDuring(child, load);
    const counts = await load;
    const { peakBytes } = memoryOf(child.pid);
    await child.stop();
    if (counts.socketErrors > 0) throw new Error(`${counts.socketErrors} socket errors or timeouts`);
    const settled = samples.filter(({ seconds: at }) => at >= seconds * SETTLING_PART);
    const slopeBytesPerMinute = slopeOf(settled);
    return {
      samples,
      peakBytes,
      slopeBytesPerMinute,
      responses: counts.responses,
      refused: counts.refused,
      passed: peakBytes < LIMIT_BYTES && slopeBytesPerMinute < FLAT_BYTES_PER_MINUTE,
    };
  } finally {
    child?.kill();
    process.off('exit', removeAll);
    removeAll();
  }
}

const BAR_BYTES = 4e6;

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function plotLine({ seconds, residentBytes }: MemorySample): string {
  const bar = '█'.repeat(Math.round(residentBytes / BAR_BYTES));
  return `${seconds.toFixed(0).padStart(8)}${megabytes(residentBytes).padStart(8)}  ${bar}`;
}

export function memoryReport(info: RunInfo, result: MemoryResult): string {
  const { samples, peakBytes, slopeBytesPerMinute, responses, refused, passed } = result;
  const step = Math.max(1, Math.ceil(samples.length / SHOWN_ROWS));
  const shown = samples.filter((_, index) => index % step === 0);
  return `${[
    '# Resident memory under load',
    `Command: \`${info.command}\``,
    `Machine: ${info.machine}; ${info.date}`,
    `Server at default settings; wrk with ${info.connections} connections and ${BATCH} metrics a request: ` +
      `${responses} answers, ${refused} of them refused by the default request limit.`,
    ['```', '  second  RSS MB', ...shown.map(plotLine), '```'].join('\n'),
    `Peak ${megabytes(peakBytes)} MB (target below ${megabytes(LIMIT_BYTES)}); slope after the first ` +
      `${SETTLING_PART * 100}% of the time ${megabytes(slopeBytesPerMinute)} MB a minute (target below ` +
      `${megabytes(FLAT_BYTES_PER_MINUTE)}): ${passed ? 'pass' : 'MISS'}`,
  ].join('\n\n')}\n`;
}
