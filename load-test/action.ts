/** Runs a load or a scenario from the command line, with progress while it runs and a report at the end. */
import { writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectories } from '../src/base/directories.ts';
import { MetricsStreamError } from '../src/base/errors.ts';
import { LoadError } from './errors.ts';
import type { LoadFlags, Positionals } from './flags.ts';
import { createPlan, type LoadPlan, type LoadResult, PLAN_DEFAULTS } from './plan.ts';
import { ProgressLine } from './progress.ts';
import { loadPage } from './report/load-page.ts';
import { scenarioPage, scenarioText } from './report/scenario-page.ts';
import { summaryText } from './report/summary.ts';
import { runLoad } from './run.ts';
import { SCENARIOS, scenarioOf } from './scenarios/catalogue.ts';
import { runScenario } from './scenarios/run-scenario.ts';
import type { ScenarioOptions } from './scenarios/scenario.ts';

const EXIT_OK = 0;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

/** One Ctrl-C under npm arrives twice: from the terminal, and a moment later passed on by npm. */
const SAME_SIGNAL_MS = 200;
const OPEN_DURATION_MS = 10_000;

function usage(text: string): never {
  throw new MetricsStreamError('CONFIG_INVALID', text);
}

/** A value that may be given in two ways, but not in both. */
function either(name: string, positional: number | undefined, flag: number | undefined): number | undefined {
  if (positional !== undefined && flag !== undefined && positional !== flag) {
    usage(`${name} is given twice: ${positional} and --${name} ${flag}`);
  }
  return flag ?? positional;
}

function loadOf(flags: LoadFlags, positionals: Positionals): LoadPlan['load'] {
  const requests = either('requests', positionals.requests, flags.requests);
  const interval = either('interval', positionals.interval, flags.interval);
  const { rate, duration } = flags;
  if (rate !== undefined) {
    if (requests !== undefined || interval !== undefined) {
      usage('--rate sets the pace of all clients together: leave out requests and interval');
    }
    return { kind: 'open', ratePerSecond: rate, durationMs: duration ?? OPEN_DURATION_MS };
  }
  const { requestsPerClient, intervalMs } = PLAN_DEFAULTS.load;
  if (duration === undefined) {
    return {
      kind: 'closed',
      requestsPerClient: requests ?? requestsPerClient,
      intervalMs: interval ?? intervalMs,
    };
  }
  return {
    kind: 'closed',
    intervalMs: interval ?? 0,
    durationMs: duration,
    ...(requests === undefined ? {} : { requestsPerClient: requests }),
  };
}

/** @throws MetricsStreamError `CONFIG_INVALID` */
function planOf(flags: LoadFlags, positionals: Positionals): LoadPlan {
  return createPlan({
    host: flags.host,
    port: either('port', positionals.port, flags.port) ?? PLAN_DEFAULTS.port,
    clients: either('clients', positionals.clients, flags.clients) ?? PLAN_DEFAULTS.clients,
    batch: flags.batch ?? PLAN_DEFAULTS.batch,
    load: loadOf(flags, positionals),
    keepAlive: flags.keepAlive,
    timeoutMs: flags.timeout,
    retries: flags.retries,
    threads: flags.threads,
    seed: flags.seed,
    warmUpMs: flags.warmUp,
    headers: flags.header,
    ...(flags.dataDir === undefined ? {} : { dataDir: flags.dataDir }),
    ...(flags.queueMetrics === undefined ? {} : { queueMetrics: flags.queueMetrics }),
  });
}

/** Aborts at the first Ctrl-C, ends the process at the second. */
function abortOnSignal(): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  let firstMs = 0;
  const onSignal = (): void => {
    const nowMs = performance.now();
    if (!controller.signal.aborted) {
      firstMs = nowMs;
      controller.abort();
    } else if (nowMs - firstMs > SAME_SIGNAL_MS) process.exit(EXIT_INTERRUPTED);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    release: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

/** Writes a file and the directory that it is in. */
function save(path: string, text: string): void {
  try {
    makeDirectories(dirname(path), 0o777);
    writeFileSync(path, text);
  } catch (error) {
    throw new LoadError(`cannot write ${path}: ${(error as Error).message}`);
  }
}

/** Where the JSON of a page goes. */
const jsonBeside = (page: string): string => `${page.replace(/\.html?$/i, '')}.json`;

/** Puts a result where the flags say; `text` is for people. */
function output(flags: LoadFlags, value: unknown, text: string, page: () => string): void {
  const json = `${JSON.stringify(value, null, 2)}\n`;
  if (flags.report !== undefined) {
    save(flags.report, page());
    save(jsonBeside(flags.report), json);
  }
  if (typeof flags.json === 'string') save(flags.json, json);
  process.stdout.write(flags.json === true ? json : `${text}\n`);
}

/** The command as typed: a program of its own, or a subcommand of the product. */
function commandText(): string {
  const args = process.argv.slice(2);
  return ['load', ...(args[0] === 'load' ? args.slice(1) : args)].join(' ');
}

function exitCodeOf({ check, interrupted, sent, succeeded }: LoadResult): number {
  if (!check.ok) return EXIT_FAILURE;
  if (interrupted) return EXIT_INTERRUPTED;
  return sent > 0 && succeeded === 0 ? EXIT_FAILURE : EXIT_OK;
}

async function load(flags: LoadFlags, positionals: Positionals): Promise<number> {
  const plan = planOf(flags, positionals);
  const { signal, release } = abortOnSignal();
  const progress = new ProgressLine(process.stderr);
  try {
    const result = await runLoad(plan, { onProgress: progress.show, signal });
    progress.end();
    output(flags, result, summaryText(result), () => loadPage(result, commandText()));
    return exitCodeOf(result);
  } finally {
    progress.end();
    release();
  }
}

/** A scenario sets its own loads: what shapes a single load has no place beside it. */
const SINGLE_LOAD_FLAGS = ['clients', 'requests', 'interval', 'rate', 'batch'] as const;

function scenarioOptions(flags: LoadFlags, positionals: Positionals): Omit<ScenarioOptions, 'tell'> {
  for (const name of SINGLE_LOAD_FLAGS) {
    if (flags[name] !== undefined) usage(`--${name} does not go with --scenario, which sets it itself`);
  }
  if (positionals.clients !== undefined)
    usage('a scenario takes no numbers of clients, requests or intervals');
  const port = either('port', positionals.port, flags.port);
  const isExternal = flags.external === true || port !== undefined;
  if (isExternal && flags.phase !== undefined)
    usage('--phase is for a server that the scenario starts itself');
  return {
    ...(isExternal
      ? {
          external: {
            host: flags.host,
            port: port ?? PLAN_DEFAULTS.port,
            ...(flags.dataDir === undefined ? {} : { dataDir: flags.dataDir }),
          },
        }
      : {}),
    ...(flags.phase === undefined ? {} : { phase: flags.phase }),
    ...(flags.duration === undefined ? {} : { durationMs: flags.duration }),
    threads: flags.threads,
    seed: flags.seed,
  };
}

async function runNamed(name: string, flags: LoadFlags, positionals: Positionals): Promise<number> {
  const scenario = scenarioOf(name);
  const options = scenarioOptions(flags, positionals);
  const { signal, release } = abortOnSignal();
  const progress = new ProgressLine(process.stderr);
  const tell = (text: string): void => {
    progress.end();
    process.stderr.write(`${text}\n`);
  };
  try {
    const result = await runScenario(scenario, { ...options, tell, signal, onProgress: progress.show });
    progress.end();
    output(flags, result, scenarioText(result), () => scenarioPage(result, scenario.expects, commandText()));
    if (!result.ok) return EXIT_FAILURE;
    return result.interrupted ? EXIT_INTERRUPTED : EXIT_OK;
  } finally {
    progress.end();
    release();
  }
}

function listScenarios(): number {
  for (const { name, title, expects, needs } of SCENARIOS) {
    const lines = [title, `expects: ${expects}`, ...(needs === undefined ? [] : [`needs: ${needs}`])];
    process.stdout.write(`${name}\n${lines.map((line) => `    ${line}\n`).join('')}`);
  }
  return EXIT_OK;
}

/** Runs what the flags ask for. @returns the exit code */
export async function loadAction(flags: LoadFlags, positionals: Positionals): Promise<number> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever reads has seen enough, as `head` has.
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
  try {
    if (flags.listScenarios === true) return listScenarios();
    if (flags.scenario !== undefined) return await runNamed(flags.scenario, flags, positionals);
    if (flags.phase !== undefined || flags.external === true)
      usage('--phase and --external go with --scenario');
    return await load(flags, positionals);
  } catch (error) {
    if (error instanceof MetricsStreamError || error instanceof LoadError) {
      process.stderr.write(`load: ${error.message}\n`);
      return error instanceof LoadError ? EXIT_FAILURE : EXIT_USAGE;
    }
    throw error;
  }
}
