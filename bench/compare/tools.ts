/** What a run needs of the machine: programs, cores, a real disk. */
import { accessSync, constants, mkdirSync, statfsSync } from 'node:fs';
import os from 'node:os';
import { delimiter, join } from 'node:path';

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

/** @throws with the Debian package to install when a program is missing, or when there is only one core */
export function requireMachine(): void {
  const packages: Readonly<Record<string, string>> = { wrk: 'wrk', taskset: 'util-linux', wc: 'coreutils' };
  for (const [program, debianPackage] of Object.entries(packages)) {
    if (!isOnPath(program)) {
      throw new Error(
        `${program} is not installed; it is in Debian's ${debianPackage}: apt-get install ${debianPackage}`,
      );
    }
  }
  if (os.availableParallelism() < 2) throw new Error('two cores are needed: one for the server, one for wrk');
}

/**
 * Creates the directory for data.
 * @throws when it is in memory, which would flatter every sync, or has less than `freeBytes` left
 */
export function requireDisk(directory: string, freeBytes: number): void {
  mkdirSync(directory, { recursive: true });
  const { type, bavail, bsize } = statfsSync(directory);
  if (type === TMPFS_MAGIC || type === RAMFS_MAGIC) {
    throw new Error(`${directory} is in memory; name a directory on a disk with --scratch`);
  }
  if (bavail * bsize < freeBytes) {
    throw new Error(`${directory} has less than ${(freeBytes / 1e9).toFixed(0)} GB free`);
  }
}
