/** A server's usage as the operating system reports it: CPU time of all threads, and whether it is idle. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Ticks of utime and stime a second: USER_HZ, 100 on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100;
const IDLE_SAMPLE_MS = 100;
const IDLE_SAMPLES = 4;
const IDLE_TIMEOUT_MS = 30_000;

/** @param field the first of two, user and system time */
function ticksOf(pid: number, field: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command's name, in parentheses, may contain spaces; state is the first field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[field]) + Number(fields[field + 1]);
}

/** User and system time of all threads, ended ones included, in seconds (resolution 10 ms). */
export const cpuSeconds = (pid: number): number => ticksOf(pid, 11) / TICKS_PER_SECOND;

/** The same of child processes that have ended. */
export const childrenCpuSeconds = (pid: number): number => ticksOf(pid, 13) / TICKS_PER_SECOND;

export const threadsOf = (pid: number): string[] => readdirSync(`/proc/${pid}/task`);

/** Of all threads that live now. */
export function contextSwitches(pid: number): number {
  return threadsOf(pid).reduce((sum, task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1');
    const counts = [...status.matchAll(/^(?:non)?voluntary_ctxt_switches:\s+(\d+)$/gm)];
    return sum + counts.reduce((total, [, count]) => total + Number(count), 0);
  }, 0);
}

/**
 * Waits until the process has nothing left to do, so that deferred work counts to the load that caused it. Several
 * quiet samples in a row, since a busy machine can keep a process from its core for a while.
 */
export async function untilIdle(pid: number): Promise<void> {
  const deadline = performance.now() + IDLE_TIMEOUT_MS;
  let quiet = 0;
  for (let before = cpuSeconds(pid); quiet < IDLE_SAMPLES; ) {
    if (performance.now() > deadline) {
      throw new Error(`process ${pid} still busy ${IDLE_TIMEOUT_MS} ms after the load ended`);
    }
    await sleep(IDLE_SAMPLE_MS);
    const now = cpuSeconds(pid);
    quiet = now - before <= 1.5 / TICKS_PER_SECOND ? quiet + 1 : 0;
    before = now;
  }
}
