/** Runs one suite over several phases of the journey: each must answer the same requests alike. */
import { before, describe } from 'node:test';
import { PHASES, type Phase } from '../../src/phases.ts';
import { suiteOwner } from './clean-up.ts';
import { type ServerOptions, type ServerProcess, startServer } from './server-process.ts';

export const phaseArgs = ({ number }: Phase): string[] => ['--phase', String(number)];

/** The reason to skip a test of thousands of requests in this phase, or false. */
export function tooManyThreads({ slots }: Phase, requests: number): string | false {
  if (slots.dispatch !== 'thread-per-request') return false;
  return `each of ${requests} requests would start a thread, which takes minutes; the phases beside it run this`;
}

const implementationsOf = ({ slots }: Phase): string[] =>
  Object.entries(slots).map(([slot, name]) => `${slot}/${name}`);

/** The fewest phases that together run every implementation of every slot, by the greedy rule. */
function coveringPhases(): readonly Phase[] {
  const missing = new Set(PHASES.flatMap(implementationsOf));
  const added = (phase: Phase): number => implementationsOf(phase).filter((name) => missing.has(name)).length;
  const chosen: Phase[] = [];
  while (missing.size > 0) {
    const best = PHASES.reduce((most, phase) => (added(phase) >= added(most) ? phase : most));
    for (const name of implementationsOf(best)) missing.delete(name);
    chosen.push(best);
  }
  return chosen.sort((a, b) => a.number - b.number);
}

const isEveryPhase = process.env.METRICSSTREAM_EVERY_PHASE === '1';

export const testedPhases = (): readonly Phase[] => (isEveryPhase ? PHASES : coveringPhases());

type Suite = (server: ServerProcess, phase: Phase) => void;

function describePhases(
  phases: readonly Phase[],
  { args = [], ...options }: ServerOptions,
  suite: Suite,
): void {
  for (const phase of phases) {
    describe(`phase ${phase.number}, ${phase.name}:`, () => {
      // Filled by the hook; tests read it when they run.
      const server = {} as ServerProcess;
      const owner = suiteOwner();
      before(async () => {
        Object.assign(server, await startServer(owner, { ...options, args: [...phaseArgs(phase), ...args] }));
      });
      suite(server, phase);
    });
  }
}

/**
 * Registers `suite` over as few phases as it takes to run every implementation of every slot, or over all of them with
 * METRICSSTREAM_EVERY_PHASE=1. Each time a server of that phase starts before the tests.
 */
export function describeEachImplementation(options: ServerOptions, suite: Suite): void {
  describePhases(testedPhases(), options, suite);
}

/** As `describeEachImplementation`, over the first and the last phase: for suites about HTTP that no slot changes. */
export function describeFirstAndLast(options: ServerOptions, suite: Suite): void {
  const phases = testedPhases();
  describePhases(isEveryPhase ? phases : [phases[0]!, phases.at(-1)!], options, suite);
}
