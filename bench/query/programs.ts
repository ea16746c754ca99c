/** Asks both programs, and measures the time and the CPU time of each answer. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, MAIN } from '../under-test/process.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { startVictoriaMetrics } from '../under-test/victoria-metrics.ts';
import type { Answer, Question } from './questions.ts';

const OUTPUT_BYTES_MAX = 1 << 30;

export interface Asked {
  readonly answer: Answer;
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** Files of a directory, and of those in it. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

export function bytesIn(directory: string, name = /./): number {
  return filesIn(directory)
    .filter((path) => name.test(path))
    .reduce((sum, path) => sum + statSync(path).size, 0);
}

/** Removes the files of a directory from the page cache; needs no rights. */
export function evict(directory: string): void {
  execFileSync('sync', ['-f', directory]);
  for (const path of filesIn(directory))
    execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
}

/** Runs `metricsstream query`, start of the process included. */
export function askOurs(dataDir: string, sql: string): Asked {
  const command = [process.execPath, MAIN, 'query', '--data-dir', dataDir, '--format', 'csv', sql];
  const timed = ['-c', 'TIMEFORMAT="%R %U %S"; time "$@"', 'bash', ...command];
  const { stdout, stderr, status } = spawnSync('bash', timed, {
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (status !== 0) throw new Error(stderr);
  const [real = 0, user = 0, system = 0] = stderr.trim().split(' ').map(Number);
  const lines = stdout.trimEnd().split('\n').slice(1);
  const answer = new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(',')), numberAtEnd(line)]));
  return { answer, wallMs: real * 1_000, cpuMs: (user + system) * 1_000 };
}

const numberAtEnd = (line: string): number => Number(line.slice(line.lastIndexOf(',') + 1));

export const startTheirs = (dataDir: string): Promise<Child> =>
  startVictoriaMetrics(dataDir, {
    flags: [
      ...['-retentionPeriod=10y', '-search.disableCache', '-search.maxUniqueTimeseries=10000000'],
      ...['-search.maxQueryDuration=5m', '-search.maxSamplesPerQuery=10000000000'],
      ...['-search.maxSamplesPerSeries=100000000', '-search.maxPointsPerTimeseries=1000000'],
      ...['-search.maxSeries=10000000', '-search.maxQueryLen=65536'],
    ],
  });

interface Vector {
  readonly data: {
    readonly result: readonly {
      readonly metric: Record<string, string>;
      readonly value: readonly [number, string];
    }[];
  };
}

/** Asks VictoriaMetrics over HTTP; its process runs already. */
export async function askTheirs(
  { pid, port }: Child,
  { metricsQl, timeMs, labels }: Question,
): Promise<Asked> {
  const parameters = new URLSearchParams({ query: metricsQl, time: String(timeMs / 1_000), nocache: '1' });
  const cpuBefore = cpuSeconds(pid);
  const started = performance.now();
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/query`, { method: 'POST', body: parameters });
  const text = await response.text();
  const wallMs = performance.now() - started;
  const cpuMs = (cpuSeconds(pid) - cpuBefore) * 1e3;
  if (!response.ok) throw new Error(text);
  const { data } = JSON.parse(text) as Vector;
  const answer = new Map(
    data.result.map(({ metric, value }) => [
      labels.map((label) => metric[label]).join(' '),
      Number(value[1]),
    ]),
  );
  return { answer, wallMs, cpuMs };
}
