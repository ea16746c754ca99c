/** The server under test: the built one, on its core, in its control group, with a disk that may be slow. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPlan, type LoadPlan, type LoadResult } from '../../load-test/plan.ts';
import { type RunOptions, runLoad } from '../../load-test/run.ts';
import { type Child, memoryOf, startChild } from '../compare/child.ts';
import { type ControlGroup, createControlGroup } from './control-group.ts';
import type { PartOptions } from './part.ts';
import type { ProbeStream } from './prober-messages.ts';
import { Prober } from './probes.ts';

export const SERVER_CORE = 0;
/** Of the load generator and of the prober. */
export const CLIENT_CORE = 1;
const MEMORY_BYTES = 512 * 2 ** 20;
const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
/** The limit is high rather than off, so that its cost is paid. */
export const NO_LIMIT = ['--rate-limit', '1000000000'] as const;

export interface ServerOptions {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface ServerUnderLoad {
  readonly pid: number;
  readonly port: number;
  readonly dataDir: string;
  /** Null where this user may not make one. */
  readonly group: ControlGroup | null;
  /** One load, checked by the files. */
  load(plan: Partial<LoadPlan>, options?: RunOptions): Promise<LoadResult>;
  residentBytes(): number;
}

let started = 0;

/** Starts a server and a prober, and ends them when `work` is done. */
export async function withServer<T>(
  { scratch, smoke }: PartOptions,
  { args, env = {} }: ServerOptions,
  streams: readonly ProbeStream[],
  work: (server: ServerUnderLoad, prober: Prober) => Promise<T>,
): Promise<T> {
  mkdirSync(scratch, { recursive: true });
  const dataDir = mkdtempSync(join(scratch, 'overload-'));
  const remove = () => rmSync(dataDir, { recursive: true, force: true });
  process.once('exit', remove);
  const group = smoke
    ? null
    : createControlGroup(`metricsstream-overload-${process.pid}-${++started}`, MEMORY_BYTES);
  let child: Child | undefined;
  let prober: Prober | undefined;
  try {
    const command = [MAIN, 'serve', '--port', '0', '--data-dir', dataDir, ...args];
    child = await startChild(command, smoke ? undefined : SERVER_CORE, {
      env,
      ...(group === null ? {} : { wrap: group.wrap }),
    });
    const { pid, port } = child;
    prober = await Prober.start({ port, streams }, smoke ? undefined : CLIENT_CORE);
    const server: ServerUnderLoad = {
      pid,
      port,
      dataDir,
      group,
      load: (plan, options) =>
        runLoad(createPlan({ port, dataDir, threads: 1, watchStorage: false, ...plan }), options),
      residentBytes: () => memoryOf(pid).residentBytes,
    };
    const result = await work(server, prober);
    await child.stop();
    return result;
  } finally {
    prober?.kill();
    child?.kill();
    await child?.exited;
    await group?.remove();
    process.off('exit', remove);
    remove();
  }
}
