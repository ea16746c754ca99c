/** The built server on its core, in its control group, with a disk that may be slow. */
import { FAULTS_REACH_PHASE } from '../../load-test/faults/disk-faults.ts';
import { createPlan, type LoadPlan, type LoadResult } from '../../load-test/plan.ts';
import { type RunOptions, runLoad } from '../../load-test/run.ts';
import { memoryOf } from '../../load-test/server-process.ts';
import {
  inScratch,
  LOAD_CORE,
  SERVER_CORE,
  serveArgs,
  startChild,
  withChild,
} from '../under-test/process.ts';
import { type ControlGroup, createControlGroup } from './control-group.ts';
import type { PartOptions } from './part.ts';
import type { ProbeStream } from './prober-messages.ts';
import { Prober } from './probes.ts';

const MEMORY_BYTES = 512 * 2 ** 20;
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
export function withServer<T>(
  { scratch, smoke }: PartOptions,
  { args, env }: ServerOptions,
  streams: readonly ProbeStream[],
  work: (server: ServerUnderLoad, prober: Prober) => Promise<T>,
): Promise<T> {
  return inScratch(scratch, async (_directory, dataDir) => {
    const group = smoke
      ? null
      : createControlGroup(`metricsstream-overload-${process.pid}-${++started}`, MEMORY_BYTES);
    const phase = env === undefined ? [] : ['--phase', String(FAULTS_REACH_PHASE)];
    const starting = startChild(serveArgs(dataDir, ...phase, ...args), smoke ? undefined : SERVER_CORE, {
      ...(env === undefined ? {} : { env }),
      ...(group === null ? {} : { wrap: group.wrap }),
    });
    try {
      return await withChild(starting, async ({ pid, port, stop }) => {
        const prober = await Prober.start({ port, streams }, smoke ? undefined : LOAD_CORE);
        try {
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
          await stop();
          return result;
        } finally {
          prober.kill();
        }
      });
    } finally {
      await group?.remove();
    }
  });
}
