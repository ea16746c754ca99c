/**
 * `npm run journey`: every phase under the same loads, and the last one with one slot reverted at a time; what was
 * measured, why, and with what spread, as docs/results/journey.{md,json,html} and in the tables of docs/phases.
 * docs/benchmarking.md says how to read it.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { PHASES } from '../../src/phases.ts';
import { requireDisk } from '../compare/tools.ts';
import { machine } from '../harness.ts';
import { pinSelf, SERVER_ARGS } from './cell.ts';
import { type Cell, FORMAT, type Journey, type Profile } from './figures.ts';
import { markdown } from './markdown.ts';
import { page } from './page.ts';
import { fillDocuments } from './phase-documents.ts';
import {
  BATCH,
  expectedSeconds,
  LADDER_CLIENTS,
  LAST_PHASE,
  ladderCells,
  OPEN_CLIENTS,
  openCells,
  PROFILE_CLIENTS,
  revertCells,
} from './plan.ts';
import { hasPerf, profileVariant } from './profile.ts';
import { measureRounds, type RunOptions, Schedule } from './run.ts';
import { headlineSentences } from './sentences.ts';
import { smoke } from './smoke.ts';
import { saturationOf } from './summary.ts';

const WARM_UP_SECONDS = 1.5;
const PROFILE_SECONDS = 5;
/** More than the quickest phase stores in one cell, several times over. */
const FREE_BYTES = 8e9;
/** A cell is warm-up, load and what is under way at its end, and stays within 20 s. */
const SECONDS_MAX = 10;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly only: readonly number[];
  readonly smoke: boolean;
  readonly profile: boolean;
  readonly render: boolean;
  readonly out: string;
  readonly scratch: string;
}

const progress = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

function wholeNumber(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1 && value <= max) return value;
    throw new InvalidArgumentError(`give a whole number from 1 to ${max}`);
  };
}

function phaseNumbers(text: string): number[] {
  const numbers = text.split(',').map((item) => {
    const phase = PHASES.find(({ number }) => String(number) === item.trim());
    if (phase === undefined) throw new InvalidArgumentError(`choose from 0 to ${LAST_PHASE}`);
    return phase.number;
  });
  return [...new Set(numbers)].sort((a, b) => a - b);
}

function parseOptions(): Options {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  return new Command('journey')
    .description(
      'Measures every phase of the server under the same loads: a client ladder, constant rates, and the last phase ' +
        'with one slot reverted at a time. About half an hour.',
    )
    .option('--rounds <count>', 'how often each cell is measured', wholeNumber(50), 3)
    .option('--seconds <seconds>', 'length of the load of each cell', wholeNumber(SECONDS_MAX), 3)
    .addOption(
      new Option('--only <phases>', `phases to measure, such as 0,6; the reverts need ${LAST_PHASE}`)
        .argParser(phaseNumbers)
        .default(
          PHASES.map(({ number }) => number),
          'all',
        ),
    )
    .option(
      '--smoke',
      'only checks that every phase and revert stores what it accepts; writes nothing',
      false,
    )
    .option('--profile', 'only profiles the phases, into the journey.json that is there', false)
    .option(
      '--render',
      'measures nothing: writes .md, .html and the phase documents from journey.json',
      false,
    )
    .addOption(
      new Option(
        '--out <directory>',
        'for journey.{md,json,html}; `phases` beside it holds the phase documents',
      ).default(join(root, 'docs/results'), 'docs/results'),
    )
    .addOption(
      new Option('--scratch <directory>', 'for data, on a disk; emptied afterwards').default(
        join(root, '.artifacts/journey'),
        '.artifacts/journey',
      ),
    )
    .parse()
    .opts<Options>();
}

function commandText(): string {
  const args = process.argv.slice(2);
  return ['npm run journey', ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
}

const origin = () => ({
  command: commandText(),
  machine: machine(),
  date: new Date().toISOString().slice(0, 10),
});

function readJourney(out: string): Journey {
  const path = join(out, 'journey.json');
  const journey = JSON.parse(readFileSync(path, 'utf8')) as Journey;
  if (journey.format !== FORMAT) throw new Error(`${path}: format ${journey.format}, not ${FORMAT}`);
  return journey;
}

function write(journey: Journey, out: string): void {
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'journey.json'), `${JSON.stringify(journey, undefined, 2)}\n`);
  writeFileSync(join(out, 'journey.md'), markdown(journey));
  writeFileSync(join(out, 'journey.html'), page(journey));
  const filled = fillDocuments(join(out, '../phases'), journey);
  progress(`wrote journey.json, .md and .html${filled.map((name) => `, phases/${name}`).join('')}`);
}

/** Requests a second at which each phase stored most. */
function saturationRates(ladder: readonly Cell[], phases: readonly number[]): Map<number, number> {
  return new Map(
    phases.flatMap((phase) => {
      const metrics = saturationOf(ladder, phase)?.storedPerSecond.median ?? 0;
      return metrics > 0 ? [[phase, metrics / BATCH] as const] : [];
    }),
  );
}

async function profileAll(
  options: Options,
  schedule: Schedule,
): Promise<{ profiles: Profile[]; failures: string[] }> {
  const perf = hasPerf();
  if (!perf) progress("perf cannot be used; V8's profiler stands in (Debian's package is linux-perf)");
  const profiles: Profile[] = [];
  const failures: string[] = [];
  for (const phase of options.only) {
    const load = { kind: 'closed' as const, clients: PROFILE_CLIENTS };
    const cell = { phase, batch: BATCH, load, pinned: true, scratch: options.scratch };
    try {
      profiles.push(
        await profileVariant({ ...cell, seconds: PROFILE_SECONDS, warmUpSeconds: WARM_UP_SECONDS }, perf),
      );
    } catch (error) {
      failures.push(`profile of phase ${phase}: ${error instanceof Error ? error.message : error}`);
    }
    schedule.done(expectedSeconds({ phase }, PROFILE_SECONDS, WARM_UP_SECONDS));
    progress(`profile of phase ${phase}: ${failures.at(-1) ?? 'done'} (${schedule.endText})`);
  }
  return { profiles, failures };
}

const profileSeconds = (phases: readonly number[]): number =>
  phases.reduce((sum, phase) => sum + expectedSeconds({ phase }, PROFILE_SECONDS, WARM_UP_SECONDS), 0);

async function measure(options: Options): Promise<Journey> {
  const { rounds, seconds, only, scratch } = options;
  const run: RunOptions = {
    rounds,
    seconds,
    scratch,
    warmUpSeconds: WARM_UP_SECONDS,
    pinned: true,
    progress,
  };
  const rungs = ladderCells(only);
  const revertPlan = only.includes(LAST_PHASE) ? revertCells() : [];
  const anyRate = new Map(only.map((phase) => [phase, 1]));
  const planned = [...rungs, ...openCells(only, anyRate), ...revertPlan];
  const cellSeconds = planned.reduce((sum, cell) => sum + expectedSeconds(cell, seconds, WARM_UP_SECONDS), 0);
  const schedule = new Schedule(cellSeconds * rounds + profileSeconds(only));
  progress(
    `${planned.length * rounds} cells (${only.length} phases, ${LADDER_CLIENTS.length} rungs, rates, reverts; ${rounds} rounds): ${schedule.endText}`,
  );
  const started = origin();
  const ladder = await measureRounds('ladder', rungs, run, schedule);
  const rates = saturationRates(ladder.cells, only);
  const open = await measureRounds('constant rate', openCells(only, rates), run, schedule);
  const reverts = await measureRounds('reverted', revertPlan, run, schedule);
  const { profiles, failures } = await profileAll(options, schedule);
  return {
    format: FORMAT,
    ...started,
    rounds,
    seconds,
    warmUpSeconds: WARM_UP_SECONDS,
    serverArgs: SERVER_ARGS,
    phases: PHASES,
    batch: BATCH,
    openClients: OPEN_CLIENTS,
    ladder: ladder.cells,
    open: open.cells,
    reverts: reverts.cells,
    profiles,
    failures: [...ladder.failures, ...open.failures, ...reverts.failures, ...failures],
  };
}

async function profileOnly(options: Options): Promise<Journey> {
  const journey = readJourney(options.out);
  const profiled = origin();
  const { profiles, failures } = await profileAll(options, new Schedule(profileSeconds(options.only)));
  const kept = journey.profiles.filter(({ phase }) => !options.only.includes(phase));
  const all = [...kept, ...profiles].sort((a, b) => a.phase - b.phase);
  return { ...journey, profiles: all, profiled, failures: [...journey.failures, ...failures] };
}

/** Cells remove what is theirs; another run may still be using the rest, or may have removed it. */
function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Not empty, or gone.
  }
}

/** Returns the exit code. */
async function main(): Promise<number> {
  const options = parseOptions();
  const { out, scratch } = options;
  if (options.render) {
    write(readJourney(out), out);
    return 0;
  }
  requireDisk(scratch, options.smoke ? 0 : FREE_BYTES);
  try {
    if (options.smoke) return await smoke(scratch, options.only, progress);
    pinSelf();
    const journey = await (options.profile ? profileOnly : measure)(options);
    write(journey, out);
    for (const { text } of headlineSentences(journey)) console.log(text);
    for (const failure of journey.failures) console.log(`FAILED ${failure}`);
    return journey.failures.length === 0 ? 0 : 1;
  } finally {
    removeEmpty(scratch);
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
