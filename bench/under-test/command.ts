/** Commands of the built program as child processes, with the CPU that each used. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { memoryOf } from '../../load-test/server-process.ts';
import { US_PER_SECOND } from '../../src/base/units.ts';
import { MAIN } from './process.ts';
import { cpuSeconds } from './usage.ts';

const SAMPLE_MS = 20;
const MIB = 2 ** 20;

/** CPU of a process so far. */
export const cpuUs = (pid: number): number => cpuSeconds(pid) * US_PER_SECOND;

export interface Ended {
  /** Null after a signal. */
  readonly code: number | null;
  readonly us: number;
  readonly seconds: number;
  /** Resident. */
  readonly peakMiB: number;
}

/** A command with its CPU; `kill` ends it at once. */
export interface Command {
  readonly ended: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

export function start(args: readonly string[]): Command {
  const startMs = performance.now();
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let [us, peakMiB] = [0, 0];
  const timer = setInterval(() => {
    try {
      us = cpuUs(child.pid!);
      // Not a number while it ends.
      peakMiB = Math.max(peakMiB, memoryOf(child.pid!).peakBytes / MIB || 0);
    } catch {
      // It has ended.
    }
  }, SAMPLE_MS);
  const ended = new Promise<Ended>((resolve) => {
    child.once('exit', (code) => {
      clearInterval(timer);
      resolve({ code, us, peakMiB, seconds: (performance.now() - startMs) / 1_000 });
    });
  });
  return { ended, kill: (signal) => void child.kill(signal) };
}

/** Runs a command to its end. @throws unless it succeeds */
export async function run(args: readonly string[]): Promise<Ended> {
  const { ended } = start(args);
  const result = await ended;
  assert.equal(result.code, 0, `${args.join(' ')} succeeded`);
  return result;
}
