/** Lets this process run behind the server: threads that start later inherit both priorities. */
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import { lowerThreadPriority } from '../base/thread-priority.ts';

const IDLE_CLASS = '3';

export function lowerPriority(): void {
  lowerThreadPriority(os.constants.priority.PRIORITY_LOW);
  // Of util-linux; without it only the CPU is yielded.
  spawnSync('ionice', ['-c', IDLE_CLASS, '-p', String(process.pid)], { stdio: 'ignore' });
}
