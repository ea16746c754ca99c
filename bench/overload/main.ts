/**
 * `npm run bench:overload`: gives the server more than it can handle, and judges its answers requirement by requirement.
 * docs/benchmarks/overload.md says how to read the results.
 */
import { Command, Option } from 'commander';
import { publish, type Report, readRun } from '../report/document.ts';
import { originOf } from '../report/origin.ts';
import {
  listOf,
  progress,
  renderOption,
  reportOption,
  runMain,
  scratchOption,
  wholeNumber,
} from '../under-test/command-line.ts';
import { LOAD_CORE, SERVER_CORE } from '../under-test/process.ts';
import { pinSelf, withDisk } from '../under-test/requirements.ts';
import { abuse } from './abuse.ts';
import { overloadCpu } from './cpu-bound.ts';
import type { PartOptions, PartResult } from './part.ts';
import { proberScheduling } from './probes.ts';
import { overloadSlowDisk } from './slow-disk.ts';
import { fixedSync, stallingSync } from './slower-disks.ts';
import { allFindings, type OverloadResults, overloadBlocks } from './tables.ts';

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
/** Its answers are checked by the other parts, too. */
const NOT_IN_SMOKE: readonly PartName[] = ['fixed-sync'];

interface Options {
  readonly smoke: boolean;
  readonly seconds: number;
  readonly only?: readonly PartName[];
  readonly report?: string;
  readonly render: boolean;
  readonly scratch: string;
}

function parseOptions(): Options {
  return new Command('bench:overload')
    .description('Overloads the built server and judges its answers, goodput, delays, memory and recovery.')
    .option('--smoke', 'loads of a second that check statuses, Retry-After and files; no figures', false)
    .option('--seconds <seconds>', 'length of the overload on a slow disk', wholeNumber(1), 60)
    .addOption(new Option('--only <parts>', `of ${PART_NAMES.join(', ')}`).argParser(listOf(PART_NAMES)))
    .addOption(reportOption('overload'))
    .addOption(renderOption('overload'))
    .addOption(scratchOption('bench-overload'))
    .parse()
    .opts<Options>();
}

async function runParts(options: Options): Promise<{ parts: PartResult[]; failures: string[] }> {
  const { scratch, seconds, smoke } = options;
  const parts: PartResult[] = [];
  const failures: string[] = [];
  const startMs = performance.now();
  const timed = (text: string): void =>
    progress(`${((performance.now() - startMs) / 1e3).toFixed(0).padStart(4)} s  ${text}`);
  for (const name of options.only ?? PART_NAMES.filter((part) => !smoke || !NOT_IN_SMOKE.includes(part))) {
    try {
      parts.push(await PARTS[name]({ scratch, seconds, smoke, progress: timed }));
      timed(`${name}: done`);
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
      timed(`FAILED ${failures.at(-1)}`);
    }
  }
  return { parts, failures };
}

const REPORT: Report<OverloadResults> = { name: 'overload', title: 'Overload', blocks: overloadBlocks };

/** @returns the exit code: 1 when a part failed or an answer was wrong; the table names the figures that are missed */
async function main(): Promise<number> {
  const options = parseOptions();
  const { smoke, scratch, report } = options;
  if (options.render) {
    publish(REPORT, readRun(REPORT, report), report);
    return 0;
  }
  if (!smoke) pinSelf();
  return withDisk(scratch, smoke ? SMOKE_FREE_BYTES : FREE_BYTES, async () => {
    const { parts, failures } = await runParts(options);
    const wrong = allFindings(parts).filter(({ isCorrectness, holds }) => isCorrectness && holds === false);
    if (smoke) {
      for (const { requirement, measured } of wrong) console.log(`WRONG ${requirement}: ${measured}`);
      for (const { name, findings } of parts) {
        const checks = findings.filter(({ isCorrectness }) => isCorrectness).length;
        console.log(`${name}: ${checks} checks made`);
      }
    } else {
      const pinning = `server on core ${SERVER_CORE}, load and prober on core ${LOAD_CORE}; the prober ${proberScheduling()}`;
      publish(REPORT, { ...originOf('npm run bench:overload'), pinning, parts, failures }, report);
    }
    return failures.length + wrong.length === 0 ? 0 : 1;
  });
}

await runMain(main);
