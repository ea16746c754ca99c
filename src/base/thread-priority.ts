/** The priority of this process for the scheduler of the CPU. */
import { readdirSync } from 'node:fs';
import os from 'node:os';

const LOWEST = os.constants.priority.PRIORITY_LOW;
const THIS_THREAD = 0;

/**
 * Lowers the priority by so many steps below the one that the caller gave, at most to the lowest. In Linux each thread has
 * a priority of its own, and those of the garbage collector count too. Threads that start later inherit it.
 */
export function lowerThreadPriority(steps: number): void {
  for (const thread of threads()) {
    try {
      os.setPriority(thread, Math.min(LOWEST, os.getPriority(thread) + steps));
    } catch {
      // Gone.
    }
  }
}

function threads(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch {
    // /proc is not mounted.
    return [THIS_THREAD];
  }
}
