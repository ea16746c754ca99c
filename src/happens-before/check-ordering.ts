/**
 * The happens-before checker: shows that the memory a module shares between threads is ordered by its Atomics, whatever
 * the processor and the compiler do.
 *
 * It loads the compiled module with other globals (`environment.ts`), runs the threads of a scenario in all orders of
 * their atomic operations (`explore.ts`), and compares each access with the earlier ones by vector clocks (`shadow.ts`).
 * It needs no luck: a missing `Atomics.store` is found although x86-64 never shows it.
 */
import { performance } from 'node:perf_hooks';
import { tableLines } from '../base/table-text.ts';
import { type Found, operationId } from './chooser.ts';
import { Environment, type Runtime } from './environment.ts';
import type { Execution } from './execution.ts';
import { explore, repeat } from './explore.ts';
import { type Changes, type LoadedModules, loadModules } from './load-modules.ts';
import { placeOf } from './places.ts';
import type { AccessReport, Failure, Place, Race, Report, Scenario } from './scenario.ts';
import type { Access } from './shadow.ts';

export interface CheckOptions<Modules> extends Changes {
  /** Path of the compiled module, or of several whose exports the scenario gets together. */
  readonly module: string | readonly string[];
  readonly scenario: Scenario<Modules>;
  /** Executions to explore systematically; beyond them, as many at random as `randomMax`. Default 20,000 and 1,000. */
  readonly executionsMax?: number;
  readonly randomMax?: number;
  readonly seed?: number;
}

const EXECUTIONS_MAX = 20_000;
const RANDOM_MAX = 1_000;
const OPERATIONS_AWAKE_MAX = 300;
const SEED = 1;
const MS_PER_SECOND = 1_000;

export async function checkOrdering<Modules>(options: CheckOptions<Modules>): Promise<Report> {
  const startMs = performance.now();
  const { module, scenario, executionsMax = EXECUTIONS_MAX, randomMax = RANDOM_MAX, seed = SEED } = options;
  const runtime: Runtime = { execution: null };
  const environment = new Environment(runtime);
  const entries = typeof module === 'string' ? [module] : module;
  const loaded = await loadModules(entries, environment.globals(), environment.zlib(), options);
  const beginning = {
    prepare: () => scenario.prepare(loaded.exports as Modules),
    activate: (execution: Execution | null) => {
      runtime.execution = execution;
    },
  };
  const limits = {
    timeouts: scenario.timeouts ?? 0,
    operationsMax: scenario.operationsMax ?? OPERATIONS_AWAKE_MAX,
  };
  try {
    const { failed, atomicFields, ...counts } = explore(beginning, {
      ...limits,
      executionsMax,
      randomMax,
      seed,
    });
    const again = failed && repeat(failed, operationsOf(failed.found), limits, beginning);
    // Without this error, a finding that does not come back would count as none.
    if (again?.found.length === 0)
      throw new Error(`${scenario.name}: a finding did not repeat: the scenario depends on time or chance`);
    const findings = again === null ? [] : again.found.map((found) => describe(found, again, loaded));
    return {
      races: findings.filter((finding): finding is Race => 'first' in finding),
      failures: findings.filter((finding): finding is Failure => 'kind' in finding),
      ...counts,
      seed,
      seconds: (performance.now() - startMs) / MS_PER_SECOND,
      atomicFields: [...atomicFields].sort(),
    };
  } finally {
    runtime.execution = null;
  }
}

function operationsOf(findings: readonly Found[]): Set<string> {
  return new Set(
    findings.flatMap((found) =>
      (found.kind === 'race' ? [found.first, found.second] : [found]).map(({ thread, operation }) =>
        operationId(thread, operation),
      ),
    ),
  );
}

function describe(found: Found, execution: Execution, loaded: LoadedModules): Race | Failure {
  const placeAt = (thread: number, operation: number): Place | null => {
    const stack = execution.stacks.get(operationId(thread, operation));
    return stack === undefined ? null : placeOf(stack, loaded);
  };
  if (found.kind !== 'race') {
    const place = placeAt(found.thread, found.operation);
    const suffix = place === null ? '' : ` (${place.file}:${place.line})`;
    return { kind: found.kind, place, text: `${found.text}${suffix}` };
  }
  const word = found.shadow.nameOf(Math.max(found.first.byte, found.second.byte));
  const sides = [found.first, found.second].map((access) =>
    sideOf(access, word, execution, placeAt(access.thread, access.operation)),
  ) as [AccessReport, AccessReport];
  const lines = tableLines(
    sides.map(({ thread, verb, word, place, how }) => [thread, verb, word, text(place), how]),
  );
  return {
    first: sides[0],
    second: sides[1],
    text: `two threads, nothing orders them:\n${lines.map((line) => `  ${line}`).join('\n')}`,
  };
}

function sideOf(
  { thread, isWrite, how }: Access,
  word: string,
  { threads }: Execution,
  place: Place | null,
): AccessReport {
  return { thread: threads[thread]!.name, verb: isWrite ? 'writes' : 'reads', how, word, place };
}

function text(place: Place | null): string {
  return place === null ? 'unknown place' : `${place.file}:${place.line}`;
}
