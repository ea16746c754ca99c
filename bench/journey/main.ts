/**
 * `npm run journey`: every phase under the same loads, and phases with one slot reverted at a time. Writes
 * journey.json and two charts, and fills in the tables of journey.md and docs/phases.
 * docs/benchmarks/journey.md says how to read them.
 */
import { Command, Option } from 'commander';
import { PHASES } from '../../src/phases.ts';
import { type Measured, measureInTurns } from '../harness/turns.ts';
import { publish, type Report, readRun } from '../report/document.ts';
import { originOf } from '../report/origin.ts';
import {
  listOf,
  progress,
  RESULTS_DIRECTORY,
  runMain,
  scratchOption,
  wholeNumber,
} from '../under-test/command-line.ts';
import { pinSelf, withDisk } from '../under-test/requirements.ts';
import { SERVER_ARGS } from './cell.ts';
import { charts } from './charts.ts';
import { type Cell, FORMAT, type Journey, type Profile } from './figures.ts';
import {
  BATCH,
  LAST_PHASE,
  ladderCells,
  OPEN_CLIENTS,
  openCells,
  PROFILE_CLIENTS,
  revertCells,
} from './plan.ts';
import { hasPerf, profileVariant } from './profile.ts';
import { measureRounds, type RunOptions, Schedule } from './run.ts';
import { smoke } from './smoke.ts';
import { headlinesOf, saturationOf } from './summary.ts';
import { journeyBlocks } from './tables.ts';

const PROGRAM = 'npm run journey';
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

const PHASE_NUMBERS = PHASES.map(({ number }) => number);

function parseOptions(): Options {
  return new Command('journey')
    .description(
      'Measures every phase of the server under the same loads: a client ladder, constant rates, and the last phase ' +
        'and the one of the worker pool with one slot reverted at a time. About 45 minutes.',
    )
    .option('--rounds <count>', 'how often each cell is measured', wholeNumber(1, 50), 3)
    .option('--seconds <seconds>', 'length of the load of each cell', wholeNumber(1, SECONDS_MAX), 3)
    .addOption(
      new Option('--only <phases>', `phases to measure, such as 0,6; the reverts need ${LAST_PHASE}`)
        .argParser((text) => listOf(PHASE_NUMBERS)(text).sort((a, b) => a - b))
        .default(PHASE_NUMBERS, 'all'),
    )
    .option(
      '--smoke',
      'only checks that every phase and revert stores what it accepts; writes nothing',
      false,
    )
    .option('--profile', 'only profiles the phases, into the journey.json that is there', false)
    .option('--render', 'measures nothing: makes tables and charts again from journey.json', false)
    .addOption(
      new Option(
        '--out <directory>',
        'for journey.{json,md} and charts; the tables of the pages in `phases` beside it are filled in, too',
      ).default(RESULTS_DIRECTORY, 'docs/results'),
    )
    .addOption(scratchOption('journey'))
    .parse()
    .opts<Options>();
}

const REPORT: Report<Journey> = {
  name: 'journey',
  title: 'The optimisation journey, measured',
  blocks: journeyBlocks,
  files: charts,
};

/** @throws when the file is missing, or of another format */
function readJourney(out: string): Journey {
  const journey = readRun<Journey>(REPORT, out);
  if (journey.format === FORMAT) return journey;
  throw new Error(`${out}/journey.json has format ${journey.format}, not ${FORMAT}: run the journey again`);
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

async function profileAll(options: Options, schedule: Schedule): Promise<Measured<Profile>> {
  if (!hasPerf()) {
    progress('no profiles: perf is not installed (Debian: linux-perf) or not permitted');
    return { results: [], failures: [] };
  }
  const load = { kind: 'closed', clients: PROFILE_CLIENTS } as const;
  const cell = { batch: BATCH, load, pinned: true, scratch: options.scratch };
  const lengths = { seconds: PROFILE_SECONDS, warmUpSeconds: WARM_UP_SECONDS };
  const nameOf = (phase: number): string => `phase ${phase}`;
  return measureInTurns(
    { title: 'profile', rounds: 1, cells: options.only, nameOf, progress },
    async (phase) => {
      const profile = await profileVariant({ phase, ...cell, ...lengths });
      schedule.cellDone();
      return [profile, schedule.endText] as const;
    },
  );
}

async function measure(options: Options): Promise<Journey> {
  const { rounds, seconds, only, scratch } = options;
  const run: RunOptions = { rounds, seconds, scratch, warmUpSeconds: WARM_UP_SECONDS };
  const rungs = ladderCells(only);
  const reverted = only.includes(LAST_PHASE) ? revertCells() : [];
  // The rates are not known yet; their number is.
  const anyRate = new Map(only.map((phase) => [phase, 1]));
  const planned = [...rungs, ...openCells(only, anyRate), ...reverted];
  const schedule = new Schedule(planned.length * rounds + only.length, seconds);
  progress(`${planned.length * rounds} cells in ${rounds} rounds: ${schedule.endText}`);
  const origin = originOf(PROGRAM);
  const ladder = await measureRounds('ladder', rungs, run, schedule);
  const rates = saturationRates(ladder.results, only);
  const open = await measureRounds('constant rate', openCells(only, rates), run, schedule);
  const reverts = await measureRounds('revert', reverted, run, schedule);
  const profiles = await profileAll(options, schedule);
  return {
    format: FORMAT,
    ...origin,
    rounds,
    seconds,
    warmUpSeconds: WARM_UP_SECONDS,
    serverArgs: SERVER_ARGS,
    phases: PHASES,
    batch: BATCH,
    openClients: OPEN_CLIENTS,
    ladder: ladder.results,
    open: open.results,
    reverts: reverts.results,
    profiles: profiles.results,
    failures: [ladder, open, reverts, profiles].flatMap(({ failures }) => failures),
  };
}

async function profileOnly(options: Options): Promise<Journey> {
  const journey = readJourney(options.out);
  const profiled = originOf(PROGRAM);
  const schedule = new Schedule(options.only.length, PROFILE_SECONDS);
  const { results, failures } = await profileAll(options, schedule);
  const kept = journey.profiles.filter(({ phase }) => !results.some((profile) => profile.phase === phase));
  const profiles = [...kept, ...results].sort((a, b) => a.phase - b.phase);
  return { ...journey, profiles, profiled, failures: [...journey.failures, ...failures] };
}

/** @returns the exit code */
async function main(): Promise<number> {
  const options = parseOptions();
  const { out, scratch } = options;
  if (options.render) {
    publish(REPORT, readJourney(out), out);
    return 0;
  }
  return withDisk(scratch, options.smoke ? 0 : FREE_BYTES, async () => {
    if (options.smoke) return smoke(scratch, options.only);
    pinSelf();
    const journey = await (options.profile ? profileOnly : measure)(options);
    publish(REPORT, journey, out);
    for (const { figure, ratio, met } of headlinesOf(journey)) {
      console.log(`${figure}: ${ratio.median.toFixed(1)} times better, target ${met ? 'met' : 'MISSED'}`);
    }
    for (const failure of journey.failures) console.log(`FAILED ${failure}`);
    return journey.failures.length === 0 ? 0 : 1;
  });
}

await runMain(main);
