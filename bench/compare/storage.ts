/** The metrics that a server kept, read from its files or by its queries. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { Child } from '../under-test/process.ts';
import { countLines, dataFiles, forEachTimestamp } from '../under-test/stored.ts';

export interface StoredMetric {
  readonly name: string;
  readonly value: number;
  /** Unix milliseconds. */
  readonly timestamp: number;
  readonly tags: Readonly<Record<string, string>>;
}

export interface Storage {
  /** Metrics kept. */
  count(): Promise<number>;
  /** Visits the timestamp of every metric kept, in any order. */
  forEachTimestamp(visit: (timestamp: number) => void): Promise<void>;
  /** All of them; for small amounts. */
  metrics(): Promise<StoredMetric[]>;
}

const DAY_SECONDS = 86_400;

async function get(port: number, path: string, query: Readonly<Record<string, string>>, accept: string) {
  const url = `http://127.0.0.1:${port}${path}?${new URLSearchParams(query)}`;
  const response = await fetch(url, { headers: { accept } });
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
  return response;
}

function linesOf(response: Response): AsyncIterable<string> {
  if (response.body === null) throw new Error('an answer without a body');
  return createInterface({ input: Readable.fromWeb(response.body), crlfDelay: Number.POSITIVE_INFINITY });
}

/**
 * Of the servers in this project: NDJSON. Stops the server first, because lines reach these files behind the answers:
 * from the write-ahead log, or from a stream's buffer.
 */
export function fileStorage({ stop }: Pick<Child, 'stop'>, directory: string): Storage {
  const completeFiles = async (): Promise<string[]> => {
    await stop();
    return dataFiles(directory);
  };
  return {
    count: async () => countLines(await completeFiles()),
    forEachTimestamp: async (visit) => forEachTimestamp(await completeFiles(), visit),
    metrics: async () =>
      (await completeFiles())
        .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as StoredMetric),
  };
}

/** A line of `/api/v1/export`. */
interface ExportedSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly number[];
  readonly timestamps: readonly number[];
}

export function victoriaMetricsStorage(port: number): Storage {
  const exportAll = async () => {
    // Metrics of the last second are not searchable yet.
    await get(port, '/internal/force_flush', {}, '*/*');
    return linesOf(await get(port, '/api/v1/export', { 'match[]': '{__name__!=""}' }, '*/*'));
  };
  return {
    count: async () => {
      await get(port, '/internal/force_flush', {}, '*/*');
      const query = {
        query: 'sum(count_over_time({__name__!=""}[4d]))',
        time: String(Math.floor(Date.now() / 1e3) + DAY_SECONDS),
        nocache: '1',
      };
      const { data } = (await (await get(port, '/api/v1/query', query, '*/*')).json()) as {
        data: { result: readonly { value: readonly [number, string] }[] };
      };
      return Number(data.result[0]?.value[1] ?? 0);
    },
    forEachTimestamp: async (visit) => {
      for await (const line of await exportAll()) {
        const from = line.lastIndexOf('[') + 1;
        for (const text of line.slice(from, line.indexOf(']', from)).split(',')) visit(Number(text));
      }
    },
    metrics: async () => {
      const found: StoredMetric[] = [];
      for await (const line of await exportAll()) {
        const { metric, values, timestamps } = JSON.parse(line) as ExportedSeries;
        const { __name__: name = '', ...tags } = metric;
        for (const [index, value] of values.entries()) {
          found.push({ name, value, timestamp: timestamps[index] as number, tags });
        }
      }
      return found;
    },
  };
}

interface InfluxSeries {
  readonly name: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, number])[];
}

export function influxStorage(port: number, db: string): Storage {
  const select = async (q: string): Promise<readonly InfluxSeries[]> => {
    const response = await get(port, '/query', { db, epoch: 'ms', q }, 'application/json');
    const { results } = (await response.json()) as {
      results: readonly { series?: readonly InfluxSeries[]; error?: string }[];
    };
    if (results[0]?.error !== undefined) throw new Error(`${q}: ${results[0].error}`);
    return results[0]?.series ?? [];
  };
  return {
    count: async () => {
      const counts = await select('SELECT count(value) FROM /.*/');
      return counts.reduce((sum, { values }) => sum + (values[0]?.[1] ?? 0), 0);
    },
    forEachTimestamp: async (visit) => {
      const query = { db, epoch: 'ms', chunked: 'true', q: 'SELECT value FROM /.*/ GROUP BY *' };
      for await (const line of linesOf(await get(port, '/query', query, 'application/csv'))) {
        // name,tags,time,value; a head in front of each chunk
        const end = line.lastIndexOf(',');
        const timestamp = Number(line.slice(line.lastIndexOf(',', end - 1) + 1, end));
        if (timestamp > 0) visit(timestamp);
      }
    },
    metrics: async () => {
      const series = await select('SELECT value FROM /.*/ GROUP BY *');
      return series.flatMap(({ name, tags = {}, values }) =>
        values.map(([timestamp, value]) => ({ name, value, timestamp, tags })),
      );
    },
  };
}
