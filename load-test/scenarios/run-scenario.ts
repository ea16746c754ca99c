/** Runs a scenario: its server, its loads one after the other, and the verdict. */
import { LoadError } from '../errors.ts';
import { FAULTS_REACH_PHASE } from '../faults/disk-faults.ts';
import { formatCount, formatMs, formatShare } from '../format.ts';
import { createPlan, type LoadPlan, type LoadResult } from '../plan.ts';
import { outcomesText } from '../progress.ts';
import type { Chart } from '../report/page.ts';
import { runLoad } from '../run.ts';
import { successShare } from './expectations.ts';
import { type OwnServer, startOwnServer } from './own-server.ts';
import {
  type Expectation,
  type Scenario,
  type ScenarioOptions,
  type ScenarioResult,
  type ServerNeeds,
  type Stage,
  type Step,
  type Target,
  targetPlan,
} from './scenario.ts';

/** Its own server limits no client unless the scenario asks for it: the limiter is not what most of them measure. */
const NO_LIMIT = ['--rate-limit', '1000000000'];

class ScenarioStage implements Stage {
  readonly options: ScenarioOptions;
  readonly expectations: Expectation[] = [];
  readonly steps: Step[] = [];
  readonly notes: string[] = [];
  readonly charts: Chart[] = [];
  private readonly servers: OwnServer[] = [];

  constructor(options: ScenarioOptions) {
    this.options = options;
  }

  async server({ args = [], env, onlyOwn }: ServerNeeds = {}): Promise<Target> {
    const { external } = this.options;
    const phase = this.options.phase ?? (env === undefined ? undefined : FAULTS_REACH_PHASE);
    if (external !== undefined) {
      if (onlyOwn !== undefined) throw new LoadError(`this scenario needs a server of its own: ${onlyOwn}`);
      return external;
    }
    const phaseArgs = phase === undefined ? [] : ['--phase', String(phase)];
    const limits = args.includes('--rate-limit') ? [] : NO_LIMIT;
    const own = await startOwnServer([...limits, ...phaseArgs, ...args], env);
    this.servers.push(own);
    this.options.tell(
      `server: phase ${phase ?? 'default'}, port ${own.port}, ${args.join(' ') || 'defaults'}`,
    );
    return { host: '127.0.0.1', port: own.port, dataDir: own.dataDir, own };
  }

  async load(name: string, target: Target, plan: Partial<LoadPlan>): Promise<LoadResult> {
    const result = await this.tryOut(target, plan);
    this.steps.push({ name, result });
    this.options.tell(`${name}: ${stepText(result)}`);
    // Expectations do not apply to a load that was stopped early.
    this.options.signal?.throwIfAborted();
    return result;
  }

  async tryOut(target: Target, plan: Partial<LoadPlan>): Promise<LoadResult> {
    const { signal, onProgress, threads, seed } = this.options;
    signal?.throwIfAborted();
    const complete = createPlan({ threads, seed, ...targetPlan(target), ...plan });
    return runLoad(complete, {
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  expect(text: string, ok: boolean, measured: string): void {
    this.expectations.push({ text, ok, measured });
  }

  note(text: string): void {
    this.notes.push(text);
    this.options.tell(text);
  }

  chart(chart: Chart): void {
    this.charts.push(chart);
  }

  /** The expectations of every scenario. */
  expectStored(): void {
    const failed = this.steps.filter(({ result }) => !result.check.ok);
    const accepted = this.steps.reduce((sum, { result }) => sum + result.check.accepted, 0);
    const kinds = [...new Set(this.steps.map(({ result }) => result.check.kind))].join(' and ');
    this.expect(
      'every metric that was accepted is stored, and none that was refused',
      failed.length === 0,
      failed.length === 0
        ? `${formatCount(accepted)} accepted, checked by ${kinds}`
        : failed.map(({ name, result }) => `${name}: ${result.check.detail}`).join('; '),
    );
  }

  async end(): Promise<void> {
    for (const server of this.servers) await server.stop();
    this.remove();
  }

  remove(): void {
    for (const server of this.servers) server.remove();
  }
}

function stepText(result: LoadResult): string {
  const { apiLatency } = result;
  return (
    `${formatCount(result.requestsPerSecond)} answers/s, p50 ${formatMs(apiLatency.p50Ms)} ms, ` +
    `p99 ${formatMs(apiLatency.p99Ms)} ms, ${outcomesText(result.outcomes)}`
  );
}

function stepRow({ name, result }: Step): string[] {
  const { apiLatency, storageLatency } = result;
  const stored = storageLatency?.latency;
  const ms = (value: number, count = apiLatency.count): string => (count === 0 ? '–' : formatMs(value));
  return [
    name,
    formatCount(result.intended),
    formatShare(successShare(result)),
    formatCount(result.requestsPerSecond),
    formatCount(result.acceptedMetricsPerSecond),
    ms(apiLatency.p50Ms),
    ms(apiLatency.p99Ms),
    ms(apiLatency.p999Ms),
    ms(apiLatency.maxMs),
    ms(stored?.p99Ms ?? 0, stored?.count ?? 0),
    result.check.ok ? (result.check.kind === 'none' ? 'not checked' : 'yes') : 'NO',
  ];
}

const STEP_HEAD = [
  'load',
  'due',
  'success',
  'answers/s',
  'metrics/s',
  'p50 ms',
  'p99',
  'p99.9',
  'max',
  'stored p99',
  'stored',
];

/**
 * Runs a scenario to its end.
 * @throws LoadError when it cannot be run here
 */
export async function runScenario(scenario: Scenario, options: ScenarioOptions): Promise<ScenarioResult> {
  const stage = new ScenarioStage(options);
  try {
    await scenario.run(stage).catch((error: unknown) => {
      if (options.signal?.aborted !== true) throw error;
    });
    await stage.end();
  } finally {
    stage.remove();
  }
  const interrupted = options.signal?.aborted === true;
  stage.expectStored();
  const { name, title } = scenario;
  const { expectations, steps, notes, charts } = stage;
  return {
    scenario: name,
    title,
    ok: expectations.every(({ ok }) => ok),
    expectations,
    steps,
    notes,
    table: { head: STEP_HEAD, rows: steps.map(stepRow) },
    charts,
    interrupted,
  };
}
