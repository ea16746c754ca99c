/** One run of wrk, pinned to a core of its own, and what it counted. */
import { launch } from '../../load-test/server-process.ts';
import type { WrkFiles } from './workload.ts';

/** Of every comparison by wrk. */
export const CONNECTIONS = 64;

export interface WrkCounts {
  /** Complete answers, whatever their status. */
  readonly responses: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** CPU time of wrk itself; near `seconds`, wrk and not the server sets the pace. */
  readonly clientCpuSeconds: number;
  /** Answers with a status of 400 or above. */
  readonly refused: number;
  /** Connections refused or broken, answers later than the timeout. */
  readonly socketErrors: number;
}

export interface WrkOptions {
  readonly port: number;
  /** Of the request, with its query; /metrics unless given. */
  readonly path?: string;
  readonly files: WrkFiles;
  readonly connections: number;
  readonly seconds: number;
  readonly core: number;
}

/** Runs wrk to its end. Throws when it fails. */
export async function runWrk(options: WrkOptions): Promise<WrkCounts> {
  const { port, path = '/metrics', files, connections, seconds, core } = options;
  const args = ['-c', String(core), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '60s'];
  args.push('-s', files.script, `http://127.0.0.1:${port}${path}`, '--', ...files.args);
  const launched = launch(['taskset', ...args]);
  const how = await launched.exited;
  const output = launched.output();
  const line = output.split('\n').find((text) => text.startsWith('{'));
  if (how !== 'code 0' || line === undefined) throw new Error(`wrk failed (${how}):\n${output}`);
  return JSON.parse(line) as WrkCounts;
}
