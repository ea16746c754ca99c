/** Keeps a database or broker off the server's core, as if it had a machine of its own, and lets it back. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Client } from 'pg';
import { LOAD_CORE, SERVER_CORE } from '../under-test/process.ts';

export type Cores = 'both' | 'elsewhere';

/** Moves all threads of the processes; those they start later follow. */
export function place(pids: readonly number[], cores: Cores): void {
  const list = cores === 'both' ? `${SERVER_CORE},${LOAD_CORE}` : String(LOAD_CORE);
  for (const pid of pids) execFileSync('taskset', ['-a', '-c', '-p', list, String(pid)], { stdio: 'ignore' });
}

/** The processes of the database on this machine: the one that accepts connections, first, and those it started. */
export async function pidsOf(client: Client): Promise<number[]> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const postmaster = parentOf(rows[0]!.pid);
  const others = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(Number(name)) === postmaster)
    .map(Number);
  return [postmaster, ...others];
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  } catch {
    return -1; // It has ended.
  }
}
