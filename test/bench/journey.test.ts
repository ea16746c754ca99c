import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { charts } from '../../bench/journey/charts.ts';
import { type Cell, type Figures, FORMAT, type Journey, type Profile } from '../../bench/journey/figures.ts';
import { LAST_PHASE, REVERT_VARIANTS } from '../../bench/journey/plan.ts';
import { readPerfScript } from '../../bench/journey/profile.ts';
import {
  classify,
  GARBAGE,
  isThreadStart,
  PARSE,
  PROFILER,
  STORE,
  THREAD_MODULES,
  THREAD_RUNTIME,
} from '../../bench/journey/stacks.ts';
import { headlinesOf, saturationOf } from '../../bench/journey/summary.ts';
import { journeyBlocks } from '../../bench/journey/tables.ts';
import { PHASES, slotsOf } from '../../src/phases.ts';
import { testedPhases } from '../support/each-phase.ts';

const SCRIPT = fileURLToPath(new URL('../../bench/journey/main.js', import.meta.url));

/** Longest run of the smoke check on a busy machine. */
const RUN_TIMEOUT_MS = 600_000;

function runJourney(...args: string[]) {
  return spawnSync(process.execPath, [SCRIPT, ...args], { encoding: 'utf8', timeout: RUN_TIMEOUT_MS });
}

function figures(given: Partial<Figures>): Figures {
  return {
    seconds: 3,
    intended: 300,
    sent: 300,
    unsent: 0,
    outcomes: { '200': 300 },
    succeeded: 300,
    storedPerSecond: 10_000,
    p50Ms: 2,
    p99Ms: 20,
    maxMs: 30,
    lateByGenerator: 0,
    generatorBusyShare: 0.1,
    generatorIsBottleneck: false,
    cpuSeconds: 1,
    accepted: 30_000,
    stored: 30_000,
    residentBytes: 100e6,
    peakBytes: 120e6,
    threads: 13,
    threadsStarted: 0,
    ...given,
  };
}

/** Metrics stored a second by phase: step 4 changes nothing, the last phase stores twenty times as many as the first. */
const SPEEDS = [10_000, 500, 600, 900, 900, 1_000];
const LAST_SPEED = 200_000;
const speedOf = (phase: number): number => (phase === LAST_PHASE ? LAST_SPEED : (SPEEDS[phase] ?? 100_000));
const ROUNDS = [1, 2, 3];
/** Rounds differ a little. */
const drift = (round: number): number => 1 + (round - 2) / 100;

function ladderCell(phase: number, clients: number, round: number): Cell {
  // Step 4 makes the noise of rounds and nothing else.
  const wobble = phase === 4 ? 2 - drift(round) : drift(round);
  const storedPerSecond = speedOf(phase) * wobble * (clients === 50 ? 1 : 0.5);
  const load = { kind: 'closed' as const, clients };
  return { phase, round, batch: 100, load, figures: figures({ storedPerSecond, cpuSeconds: 1 / wobble }) };
}

function openCell(phase: number, round: number): Cell {
  const load = { kind: 'open' as const, rateKind: 'baseline' as const, ratePerSecond: 100, clients: 150 };
  const p99Ms = (phase === LAST_PHASE ? 4 : 400) * drift(round);
  return { phase, round, batch: 100, load, figures: figures({ p99Ms }) };
}

function revertCell(revert: Cell['revert'], round: number, cpuSeconds: number): Cell {
  const load = { kind: 'closed' as const, clients: 50 };
  const cell = { phase: LAST_PHASE, round, batch: 100, load, figures: figures({ cpuSeconds }) };
  return revert === undefined ? cell : { ...cell, revert };
}

function profile(phase: number, shares: Profile['shares']): Profile {
  const facts = { tool: 'perf' as const, clients: 20, batch: 100, storedPerSecond: 100, samples: 1_000 };
  return {
    phase,
    ...facts,
    idleShare: 0.1,
    shares,
    functions: [{ name: 'parse parser/naive.js:1', share: 0.1 }],
  };
}

function journey(given: Partial<Journey> = {}): Journey {
  const phases = PHASES.map(({ number }) => number);
  return {
    format: FORMAT,
    command: 'npm run journey',
    machine: 'a machine, abc1234',
    date: '2026-01-02',
    rounds: 3,
    seconds: 3,
    warmUpSeconds: 1.5,
    serverArgs: ['--ack', 'synced'],
    phases: PHASES,
    batch: 100,
    openClients: 150,
    ladder: ROUNDS.flatMap((round) =>
      phases.flatMap((phase) => [10, 50].map((clients) => ladderCell(phase, clients, round))),
    ),
    open: ROUNDS.flatMap((round) => phases.map((phase) => openCell(phase, round))),
    reverts: ROUNDS.flatMap((round) => [
      revertCell(undefined, round, 1),
      revertCell('writer', round, 3 * drift(round)),
      revertCell('limiter', round, drift(round)),
    ]),
    profiles: [
      profile(3, [
        { name: THREAD_RUNTIME, share: 0.5 },
        { name: 'limit', share: 0.02 },
      ]),
      profile(4, [
        { name: THREAD_MODULES, share: 0.6 },
        { name: GARBAGE, share: 0.2 },
      ]),
    ],
    failures: [],
    ...given,
  };
}

test('every phase and every revert stores what it accepts', () => {
  const phases = testedPhases();
  const { status, stdout, stderr } = runJourney(
    '--smoke',
    '--only',
    phases.map((phase) => phase.number).join(),
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  for (const { number } of phases)
    assert.match(stdout, new RegExp(`^phase ${number}: all accepted .* stored`, 'm'));
  for (const { phase, revert } of REVERT_VARIANTS) {
    if (revert === undefined || !phases.some(({ number }) => number === phase)) continue;
    assert.match(stdout, new RegExp(`^phase ${phase}, ${revert} reverted: all accepted .* stored`, 'm'));
  }
});

test('an unknown phase is refused with those there are', () => {
  const { status, stderr } = runJourney('--only', '0,9');
  assert.notEqual(status, 0);
  assert.match(stderr, /choose from 0, 1, 2, 3, 4, 5, 6/);
});

/** The cells of the first row of a block that begins with `start`. */
function rowOf(block: string | undefined, start: string): string[] {
  const line = block?.split('\n').find((text) => text.startsWith(`| ${start}`)) ?? '';
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

describe('the tables', () => {
  test('are the same for figures just measured and figures read again', () => {
    const measured = journey();
    const read = JSON.parse(JSON.stringify(measured)) as Journey;
    assert.deepEqual(journeyBlocks(read), journeyBlocks(measured));
    assert.deepEqual(charts(read), charts(measured));
  });

  test('show a phase at the rung on which it stores most', () => {
    const own = saturationOf(journey().ladder, 2);
    assert.equal(own?.clients, 50);
    assert.equal(own?.storedPerSecond.median, 600);
    assert.equal(rowOf(journeyBlocks(journey()).saturation, '2, group commit')[5], '50');
  });

  test('judge the targets by ratios within rounds', () => {
    const [throughput, p99] = headlinesOf(journey());
    assert.ok(throughput?.met && p99?.met);
    assert.ok(Math.abs(throughput.ratio.median - 20) < 1e-9);
    assert.ok(Math.abs(throughput.ratio.max - 20) < 1e-9);
    assert.ok(Math.abs(p99.ratio.median - 100) < 1e-9);
  });

  test('name a target that is missed', () => {
    const { ladder } = journey();
    const slow = ladder.map((cell) =>
      cell.phase === LAST_PHASE ? { ...cell, figures: figures({ storedPerSecond: 90_000 }) } : cell,
    );
    const { headlines } = journeyBlocks(journey({ ladder: slow }));
    assert.equal(rowOf(headlines, 'metrics stored').at(-1), 'MISSED');
    assert.equal(rowOf(headlines, 'p99').at(-1), 'met');
  });

  test('show the share of the replaced work and of thread start beside each step', () => {
    const { steps } = journeyBlocks(journey());
    assert.deepEqual(rowOf(steps, '4').slice(3), [
      'within the spread',
      '1.00× (0.98×–1.02×)',
      '2.0%',
      '60%',
      '20%',
    ]);
    assert.equal(rowOf(steps, String(LAST_PHASE))[3], 'more');
  });

  test('compare each reverted slot with the complete phase', () => {
    const block = journeyBlocks(journey())['reverted-100'];
    const before = (slot: 'writer' | 'limiter') => slotsOf({ phase: LAST_PHASE, revert: slot })[slot];
    assert.equal(rowOf(block, `phase ${LAST_PHASE} as it is`)[2], '–');
    assert.deepEqual(rowOf(block, `writer: ${before('writer')}`).slice(2, 4), [
      '0.33× (0.33×–0.34×)',
      'less',
    ]);
    assert.equal(rowOf(block, `limiter: ${before('limiter')}`)[3], 'within the spread');
  });

  test('name cells that failed, and show a figure that nobody could measure as a dash', () => {
    const none = {
      p50Ms: null,
      p99Ms: null,
      succeeded: 0,
      storedPerSecond: 0,
      stored: 0,
      outcomes: { '503': 9 },
    };
    const { ladder } = journey();
    const refused = ladder.map((cell) =>
      cell.phase === 1 ? { ...cell, figures: figures(none as Partial<Figures>) } : cell,
    );
    const blocks = journeyBlocks(journey({ ladder: refused, failures: ['ladder: phase 3 lost a metric'] }));
    assert.match(blocks.origin!, /FAILED.*ladder: phase 3 lost a metric/);
    assert.ok(rowOf(blocks.saturation, '1, thread per request').includes('–'));
    assert.doesNotMatch(Object.values(blocks).join(), /NaN|Infinity|undefined/);
    assert.doesNotMatch(Object.values(charts(journey({ ladder: refused }))).join(), /NaN|Infinity|undefined/);
  });

  test('are made again from the JSON file, in the page of results and in the pages of the phases', () => {
    const directory = mkdtempSync(join(os.tmpdir(), 'journey-test-'));
    try {
      const results = join(directory, 'results');
      const documents = join(directory, 'phases');
      mkdirSync(results);
      mkdirSync(documents);
      writeFileSync(join(results, 'journey.json'), JSON.stringify(journey()));
      const phase = join(documents, '1-threads.md');
      writeFileSync(phase, '# One\n\n<!-- journey:phase-1 -->\nold\n<!-- /journey -->\n\nThe end.\n');
      const { status, stderr } = runJourney('--render', '--out', results);
      assert.equal(status, 0, stderr);
      for (const [name, svg] of Object.entries(charts(journey()))) {
        assert.equal(readFileSync(join(results, name), 'utf8'), svg);
      }
      assert.match(readFileSync(join(results, 'journey.md'), 'utf8'), /## saturation\n\n\| phase/);
      assert.match(
        readFileSync(phase, 'utf8'),
        /^# One\n.*\| metrics stored a second .*<!-- \/journey -->\n\nThe end\.\n$/s,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('a sampled stack', () => {
  const parser = 'JS:*parse file:///srv/dist/src/parser/naive.js:199:15';
  const inThread = ['v8::internal::Execution::Call', 'node::worker::Worker::Run', 'start_thread'];

  test('counts as what the innermost frame that is known was doing', () => {
    assert.equal(classify(['clear_page_erms', 'exc_page_fault', parser, ...inThread], true), PARSE);
    assert.equal(classify(['__schedule', '__x64_sys_fdatasync', 'uv_fs_fdatasync', parser], false), STORE);
    assert.equal(
      classify(['v8::internal::Scanner::Next', 'node::loader::ModuleWrap::New', ...inThread], true),
      THREAD_MODULES,
    );
  });

  test('counts as garbage collection, or as the profiler itself, wherever that stands', () => {
    assert.equal(classify(['memmove', 'v8::internal::Scavenger::Process', parser], false), GARBAGE);
    assert.equal(
      classify(['write', 'v8::internal::LinuxPerfBasicLogger::Write', ...inThread], true),
      PROFILER,
    );
  });

  test('is no thread start where the server starts none while it serves', () => {
    const stack = ['node::CreateEnvironment', ...inThread];
    assert.equal(classify(stack, true), THREAD_RUNTIME);
    assert.ok(!isThreadStart(classify(stack, false)));
  });

  test('is read from the output of perf script', async () => {
    const lines = ['node 12 ', '\t  b34 inner(int)', '\t  b35 outer', '', 'node 13 ', '\t  c1 [unknown]', ''];
    const stacks: string[][] = [];
    await readPerfScript(
      (async function* () {
        yield* lines;
      })(),
      (frames) => stacks.push(frames),
    );
    assert.deepEqual(stacks, [['inner(int)', 'outer'], ['[unknown]']]);
  });
});
