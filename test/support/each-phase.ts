/** Runs one suite over every phase of the journey: each must answer the same requests alike. */
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

/** Registers `suite` once per phase, each time with a server of that phase, which starts before the tests. */
export function describeEachPhase(
  { args = [], ...options }: ServerOptions,
  suite: (server: ServerProcess, phase: Phase) => void,
): void {
  for (const phase of PHASES) {
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
