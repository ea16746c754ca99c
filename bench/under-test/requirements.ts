/** Requirements of a run: programs, two cores, a real disk. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, rmdirSync, statfsSync } from 'node:fs';
import os from 'node:os';
import { delimiter, join } from 'node:path';
import { LOAD_CORE } from './process.ts';

const TMPFS_MAGIC = 0x01021994;
const RAMFS_MAGIC = 0x858458f6;

export function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @param programs each with the Debian package that has it @throws with the packages to install */
export function requirePrograms(programs: Readonly<Record<string, string>>): void {
  const missing = Object.entries(programs).filter(([program]) => !isOnPath(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))].join(' ');
  throw new Error(
    `not installed: ${missing.map(([program]) => program).join(', ')}; apt-get install ${packages}`,
  );
}

function requireTwoCores(): void {
  if (os.availableParallelism() >= 2) return;
  throw new Error('two cores are needed: one for the server, one for the load');
}

/** For loads by wrk. */
export function requireMachine(): void {
  requirePrograms({ wrk: 'wrk', taskset: 'util-linux', wc: 'coreutils' });
  requireTwoCores();
}

/** Keeps this process, which generates the load, off the server's core. Threads started later inherit it. */
export function pinSelf(): void {
  requirePrograms({ taskset: 'util-linux' });
  requireTwoCores();
  execFileSync('taskset', ['-a', '-c', '-p', String(LOAD_CORE), String(process.pid)], { stdio: 'ignore' });
}

/**
 * Runs `work` with a directory for data, and removes it if cells and other runs left nothing in it.
 * @throws when it is in memory, where a sync costs nothing, or has less than `freeBytes` left
 */
export async function withDisk<T>(directory: string, freeBytes: number, work: () => Promise<T>): Promise<T> {
  mkdirSync(directory, { recursive: true });
  const { type, bavail, bsize } = statfsSync(directory);
  if (type === TMPFS_MAGIC || type === RAMFS_MAGIC) {
    throw new Error(`${directory} is in memory; name a directory on a disk with --scratch`);
  }
  if (bavail * bsize < freeBytes) {
    throw new Error(`${directory} has less than ${(freeBytes / 1e9).toFixed(0)} GB free`);
  }
  try {
    return await work();
  } finally {
    try {
      rmdirSync(directory);
    } catch {
      // In use, or gone.
    }
  }
}
