import fs from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Creates a directory, but none above it. Another process may create it at the same time.
 * @throws system errors
 */
export function makeDirectory(path: string, mode: number): void {
  try {
    fs.mkdirSync(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Creates a directory and those above it that are missing. Node's own recursive mkdir never returns where a parent exists
 * and creates nothing, as in a deleted working directory or below /proc.
 * @throws system errors
 */
export function makeDirectories(path: string, mode: number): void {
  const missing: string[] = [];
  for (let directory = resolve(path); ; directory = dirname(directory)) {
    if (fs.statSync(directory, { throwIfNoEntry: false }) !== undefined) break;
    missing.push(directory);
  }
  for (const directory of missing.reverse()) makeDirectory(directory, mode);
}
