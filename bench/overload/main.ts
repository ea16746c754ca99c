/**
 * `npm run bench:overload`: what the server does when it is given more than it can take, judged requirement by
 * requirement. docs/benchmarking.md says how to read it.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { requireDisk } from '../compare/tools.ts';
import { machine } from '../harness.ts';
import { abuse } from './abuse.ts';
import { overloadCpu } from './cpu-bound.ts';
import type { PartOptions, PartResult } from './part.ts';
import { proberScheduling } from './probes.ts';
import { allFindings, type RunInfo, report } from './report.ts';
import { CLIENT_CORE, SERVER_CORE } from './server-under-load.ts';
import { overloadSlowDisk } from './slow-disk.ts';
import { fixedSync, stallingSync } from './slower-disks.ts';

const FREE_BYTES = 6e9;
const SMOKE_FREE_BYTES = 1e9;

const PARTS = {
  'slow-disk': overloadSlowDisk,
  'fixed-sync': fixedSync,
  'stalling-sync': stallingSync,
  'cpu-bound': overloadCpu,
  abuse,
} as const satisfies Record<string, (options: PartOptions) => Promise<PartResult>>;
type PartName = keyof typeof PARTS;
const PART_NAMES = Object.keys(PARTS) as PartName[];
/** Closed loops beyond the CPU only; there is nothing in it that the others do not check. */
const NOT_IN_SMOKE: readonly PartName[] = ['fixed-sync'];

interface Options {
  readonly smoke: boolean;
  readonly seconds: number;
  readonly only?: readonly PartName[];
  readonly report?: string;
  readonly scratch: string;
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isInteger(value))
    throw new InvalidArgumentError('must be a whole number above 0');
  return value;
}

function partList(text: string): PartName[] {
  return text.split(',').map((item) => {
    const found = PART_NAMES.find((name) => name === item.trim());
    if (found === undefined) throw new InvalidArgumentError(`choose from ${PART_NAMES.join(', ')}`);
    return found;
  });
}

function parseOptions(): Options {
  const scratch = fileURLToPath(new URL('../../../.artifacts/bench-overload', import.meta.url));
  return new Command('bench:overload')
    .description('Overloads the built server and judges its answers, goodput, delays, memory and recovery.')
    .option('--smoke', 'loads of a second that check statuses, Retry-After and files; no figures', false)
    .option('--seconds <seconds>', 'length of the overload on a slow disk', positiveInteger, 60)
    .addOption(new Option('--only <parts>', `of ${PART_NAMES.join(', ')}`).argParser(partList))
    .option('--report <directory>', 'writes overload.md and overload.json there')
    .option('--scratch <directory>', 'for data, on a disk; emptied afterwards', scratch)
    .parse()
    .opts<Options>();
}

/** Keeps this process, which sends the loads, off the server's core. Threads started later inherit it. */
function pinSelf(): void {
  if (os.availableParallelism() < 2)
    throw new Error('two cores are needed: one for the server, one for the load');
  try {
    execFileSync('taskset', ['-a', '-c', '-p', String(CLIENT_CORE), String(process.pid)], {
      stdio: 'ignore',
    });
  } catch (error) {
    throw new Error("taskset is needed; it is in Debian's util-linux: apt-get install util-linux", {
      cause: error,
    });
  }
}

function runInfo(): RunInfo {
  const args = process.argv.slice(2);
  return {
    command: ['npm run bench:overload', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
    pinning:
      `The server, with all its threads, is pinned to core ${SERVER_CORE}; the load generator and the prober to core ` +
      `${CLIENT_CORE}, where the prober ${proberScheduling()}.`,
  };
}

async function runParts(options: Options): Promise<{ parts: PartResult[]; failures: string[] }> {
  const { scratch, seconds, smoke } = options;
  const parts: PartResult[] = [];
  const failures: string[] = [];
  const startMs = performance.now();
  const progress = (text: string): void => {
    process.stderr.write(`${((performance.now() - startMs) / 1e3).toFixed(0).padStart(4)} s  ${text}\n`);
  };
  for (const name of options.only ?? PART_NAMES.filter((part) => !smoke || !NOT_IN_SMOKE.includes(part))) {
    try {
      parts.push(await PARTS[name]({ scratch, seconds, smoke, progress }));
      progress(`${name}: done`);
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
      progress(`FAILED ${failures.at(-1)}`);
    }
  }
  return { parts, failures };
}

function writeReport(directory: string, text: string, data: unknown): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'overload.md'), text);
  writeFileSync(join(directory, 'overload.json'), `${JSON.stringify(data, undefined, 1)}\n`);
}

/** Returns the exit code: 1 when a part failed or an answer was wrong; a figure that is missed is in the report. */
async function main(options: Options): Promise<number> {
  const { smoke, scratch } = options;
  requireDisk(scratch, smoke ? SMOKE_FREE_BYTES : FREE_BYTES);
  if (!smoke) pinSelf();
  try {
    const info = runInfo();
    const { parts, failures } = await runParts(options);
    const wrong = allFindings(parts).filter(({ isCorrectness, holds }) => isCorrectness && holds === false);
    if (smoke) {
      for (const { requirement, measured } of wrong) console.log(`WRONG ${requirement}: ${measured}`);
      for (const { name, findings } of parts) {
        const checks = findings.filter(({ isCorrectness }) => isCorrectness).length;
        console.log(`${name}: ${checks} checks made`);
      }
    } else {
      const text = report(info, parts, failures);
      console.log(text);
      if (options.report !== undefined) writeReport(options.report, text, { ...info, parts, failures });
    }
    return failures.length + wrong.length === 0 ? 0 : 1;
  } finally {
    if (readdirSync(scratch).length === 0) rmdirSync(scratch);
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await main(parseOptions());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
