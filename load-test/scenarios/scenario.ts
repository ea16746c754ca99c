/** A scenario: loads, its expectations, and whether they held. */
import type { LoadPlan, LoadResult, Progress } from '../plan.ts';
import type { Chart, Table } from '../report/page.ts';
import type { OwnServer } from './own-server.ts';

export interface ScenarioOptions {
  /** A server that runs already; without it the scenario starts its own. */
  readonly external?: { readonly host: string; readonly port: number; readonly dataDir?: string };
  /** Of the scenario's own server. */
  readonly phase?: number;
  /** Of one load, in place of the scenario's own. */
  readonly durationMs?: number;
  readonly threads: number | 'auto';
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Takes what people read while it runs. */
  readonly tell: (text: string) => void;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Expectation {
  /** An expectation, whether it held, and the measurement. */
  readonly text: string;
  readonly ok: boolean;
  readonly measured: string;
}

export interface Step {
  readonly name: string;
  readonly result: LoadResult;
}

export interface ScenarioResult {
  readonly scenario: string;
  readonly title: string;
  readonly ok: boolean;
  readonly expectations: readonly Expectation[];
  readonly steps: readonly Step[];
  /** Findings without an expectation, such as the saturation rate. */
  readonly notes: readonly string[];
  readonly table: Table;
  readonly charts: readonly Chart[];
  readonly interrupted: boolean;
}

/** Context of a running scenario. */
export interface Stage {
  readonly options: ScenarioOptions;
  /**
   * The server to put load on: the external one, or one that is started with these arguments and this environment.
   * @throws LoadError when the scenario needs a server of its own
   */
  server(needs?: ServerNeeds): Promise<Target>;
  /** Runs one load and adds it to the result. Its check is an expectation of every scenario. */
  load(name: string, target: Target, plan: Partial<LoadPlan>): Promise<LoadResult>;
  /** The same, without a place in the result or a check. */
  tryOut(target: Target, plan: Partial<LoadPlan>): Promise<LoadResult>;
  expect(text: string, ok: boolean, measured: string): void;
  note(text: string): void;
  chart(chart: Chart): void;
}

export interface ServerNeeds {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Why an external server will not do. */
  readonly onlyOwn?: string;
}

export type Target = Pick<LoadPlan, 'host' | 'port' | 'dataDir'> & { readonly own?: OwnServer };

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** In a sentence or two. */
  readonly expects: string;
  /** A feature that not every server has; without it the scenario ends with this reason. */
  readonly needs?: string;
  run(stage: Stage): Promise<void>;
}

/** A target as the part of a plan that it is. */
export function targetPlan({ host, port, dataDir }: Target): Partial<LoadPlan> {
  return { host, port, ...(dataDir === undefined ? {} : { dataDir }) };
}
