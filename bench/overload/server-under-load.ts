/** The built server on its core, in its control group, with a disk that may be slow. */
import { FAULTS_REACH_PHASE } from '../../load-test/faults/disk-faults.ts';
import { createPlan, type LoadPlan, type LoadResult } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import { type Exposition, readExposition } from '../under-test/exposition.ts';
import { LOAD_CORE, SERVER_CORE, serveArgs, startChild, withServer } from '../under-test/process.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { type ControlGroup, createControlGroup } from './control-group.ts';
import type { PartOptions } from './part.ts';
import type { ProbeStream } from './prober-messages.ts';
import { Prober, type Span } from './probes.ts';

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
  /** One load, checked by the files. @param afterwards awaited before the check, as it would disturb what this sees */
  load(plan: Partial<LoadPlan>, afterwards?: () => Promise<void>): Promise<Loaded>;
}

/** A load, and what the server did from its start until every request had its outcome. */
export interface Loaded {
  readonly result: LoadResult;
  /** In which requests were sent, on the clock of `monotonicMs`. */
  readonly span: Span;
  /** CPU time of the server over time, as a share of one core. */
  readonly cpuShare: number;
  readonly before: Exposition;
  readonly after: Exposition;
}

async function measuredLoad(
  plan: Parameters<typeof createPlan>[0] & { readonly port: number },
  pid: number,
  afterwards?: () => Promise<void>,
): Promise<Loaded> {
  const before = await readExposition(plan.port);
  const cpuBefore = cpuSeconds(pid);
  let [span, cpuAfter, after] = [[0, 0] as Span, 0, before];
  const result = await runLoad(createPlan(plan), {
    onEnded: async (fromMs, untilMs) => {
      [cpuAfter, span] = [cpuSeconds(pid), [fromMs, untilMs]];
      after = await readExposition(plan.port);
      await afterwards?.();
    },
  });
  return { result, span, cpuShare: (cpuAfter - cpuBefore) / result.seconds, before, after };
}

let started = 0;

/** Starts a server and a prober, and ends them when `work` is done. */
export async function withProbedServer<T>(
  { scratch, smoke }: PartOptions,
  { args, env }: ServerOptions,
  streams: readonly ProbeStream[],
  work: (server: ServerUnderLoad, prober: Prober) => Promise<T>,
): Promise<T> {
  const group = smoke
    ? null
    : createControlGroup(`metricsstream-overload-${process.pid}-${++started}`, MEMORY_BYTES);
  // A smoke run judges answers, on whatever disk: one that stalls must not make them 504 or a timeout.
  const patience = smoke ? ['--request-timeout-ms', '60s'] : [];
  const phase = env === undefined ? [] : ['--phase', String(FAULTS_REACH_PHASE)];
  const start = (dataDir: string) =>
    startChild(serveArgs(dataDir, ...phase, ...patience, ...args), smoke ? undefined : SERVER_CORE, {
      ...(env === undefined ? {} : { env }),
      ...(group === null ? {} : { wrap: group.wrap }),
    });
  try {
    return await withServer(scratch, start, async ({ pid, port, stop }, dataDir) => {
      const prober = await Prober.start({ port, streams }, smoke ? undefined : LOAD_CORE);
      try {
        const timeouts = smoke ? { timeoutMs: 180_000 } : {};
        const load: ServerUnderLoad['load'] = (plan, afterwards) =>
          measuredLoad(
            { port, dataDir, threads: 1, watchStorage: false, ...timeouts, ...plan },
            pid,
            afterwards,
          );
        const result = await work({ pid, port, dataDir, group, load }, prober);
        await stop();
        return result;
      } finally {
        prober.kill();
      }
    });
  } finally {
    await group?.remove();
  }
}
