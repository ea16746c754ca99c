/** The prober seen from the process that started it, and what its probes say. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { FATE_ACCEPTED, FATE_REFUSED, FATE_UNKNOWN } from '../../load-test/generator/messages.ts';
import { type Answers, checkFiles } from '../../load-test/storage/stored-check.ts';
import { ask, nextMessage } from '../harness/forks.ts';
import { pinned } from '../under-test/process.ts';
import { correct, type Finding } from './finding.ts';
import type { Probe, ProberPlan, ProberReport, ProbeStream } from './prober-messages.ts';

const ENTRY = fileURLToPath(new URL('./prober.js', import.meta.url));
const NAME = 'prober';
const STORED_WITHIN_MS = 10_000;

export const METRICS_PROBE: ProbeStream = {
  name: 'GET /metrics',
  ratePerSecond: 10,
  connections: 2,
  request: { method: 'GET', path: '/metrics' },
};
export const HEALTH_PROBE: ProbeStream = {
  name: 'GET /health',
  ratePerSecond: 20,
  connections: 2,
  request: { method: 'GET', path: '/health' },
};

/** Probed beside every load. */
export const ENDPOINTS = [METRICS_PROBE, HEALTH_PROBE] as const;

/** Before the other threads of its core where that is permitted: it is to wait for the server and for nobody else. */
function firstOnCore(): string[] {
  const prefix = ['nice', '-n', '-20'];
  // Where it is not permitted, nice says so and goes on.
  const { status, stderr } = spawnSync('nice', [...prefix.slice(1), 'true'], { encoding: 'utf8' });
  return status === 0 && stderr === '' ? prefix : [];
}

/** How the prober is scheduled, in words. */
export const proberScheduling = (): string =>
  firstOnCore().length > 0 ? 'goes before the generator (nice −20)' : 'runs as any other process';

export class Prober {
  private readonly child: ChildProcess;
  private readonly streams: readonly ProbeStream[];

  private constructor(child: ChildProcess, streams: readonly ProbeStream[]) {
    this.child = child;
    this.streams = streams;
  }

  /** @param core the core it is pinned to; undefined: all of them */
  static async start(plan: ProberPlan, core: number | undefined): Promise<Prober> {
    const [file = '', ...args] = pinned([...firstOnCore(), process.execPath, ENTRY], core);
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const child = spawn(file, args, { stdio: [...stdio], serialization: 'advanced' });
    await nextMessage(child, NAME);
    await ask(child, NAME, plan);
    return new Prober(child, plan.streams);
  }

  /** Sends nothing more; resolves with the probes of each stream. */
  async end(): Promise<ReadonlyMap<string, readonly Probe[]>> {
    const report = (await ask(this.child, NAME, 'end')) as ProberReport;
    return new Map(this.streams.map(({ name }, index) => [name, report[index]!]));
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}

export const isFine = ({ outcome }: Probe): boolean => outcome >= 200 && outcome < 300;

/** From the send to the answer; from the time it was due where it had to wait for a connection. */
export const latencyMs = ({ dueMs, sentMs, doneMs, waited }: Probe): number =>
  doneMs - (waited ? dueMs : sentMs);

/** On the clock of `monotonicMs`. */
export type Span = readonly [fromMs: number, untilMs: number];

export const between = (probes: readonly Probe[], [fromMs, untilMs]: Span): Probe[] =>
  probes.filter(({ dueMs }) => dueMs >= fromMs && dueMs < untilMs);

/** By nearest rank. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export type ProbeSummary = ReturnType<typeof summarize>;

/** @param isJudged false where the benchmark itself keeps the server from its core: a figure, and no requirement */
export function summarize(part: string, name: string, probes: readonly Probe[], isJudged = true) {
  const latencies = probes.map(latencyMs);
  const own = probes.map(({ ownDelayMs }) => ownDelayMs);
  const stolen = probes.map(({ stolenMs }) => stolenMs);
  const server = latencies.map((latency, k) => Math.max(0, latency - own[k]! - stolen[k]!));
  return {
    part,
    name,
    count: probes.length,
    /** Answers that are no 2xx. */
    failed: probes.filter((probe) => !isFine(probe)).length,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    maxMs: percentile(latencies, 100),
    /** The prober's own delay within these. */
    ownP99Ms: percentile(own, 99),
    /** Time of a core that the hypervisor took within them. */
    stolenP99Ms: percentile(stolen, 99),
    /** The rest without both. */
    serverP99Ms: percentile(server, 99),
    isJudged,
  };
}

/** GET /metrics and GET /health in a span. */
export const summarizeEndpoints = (
  part: string,
  probes: ReadonlyMap<string, readonly Probe[]>,
  span: Span,
  isJudged = true,
): ProbeSummary[] =>
  ENDPOINTS.map(({ name }) => summarize(part, name, between(probes.get(name)!, span), isJudged));

function fateOf(probe: Probe): number {
  if (isFine(probe)) return FATE_ACCEPTED;
  return probe.outcome < 100 || probe.outcome === 504 ? FATE_UNKNOWN : FATE_REFUSED;
}

/** Whether the files hold every metric accepted of a POST stream, and none refused. */
export async function storedFinding(
  requirement: string,
  dataDir: string,
  stream: ProbeStream,
  probes: readonly Probe[],
): Promise<Finding> {
  if (stream.request.method !== 'POST') throw new Error(`${stream.name} stores nothing`);
  const fates = Uint8Array.from(probes, fateOf);
  const answers: Answers = {
    acceptedMetrics: probes.reduce((sum, { accepted }) => sum + accepted, 0),
    unknownRequests: fates.filter((fate) => fate === FATE_UNKNOWN).length,
    batch: stream.request.batch,
    fates: [fates],
  };
  // All files, from their beginnings: the stream began with the server.
  const from = { sequence: 0, offset: 0 };
  const files = { dataDir, from, runId: stream.request.runId, withinMs: STORED_WITHIN_MS };
  const { ok, accepted, stored, detail } = await checkFiles(files, answers);
  return correct(requirement, ok, ok ? `${accepted} metrics accepted, ${stored} stored` : detail);
}
