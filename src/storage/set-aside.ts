/** Keeps a damaged segment under another name, byte for byte, while its good commits stay under the segment's name. */
import { constants } from 'node:fs';
import { basename } from 'node:path';
import type { FileOps } from './file-ops.ts';
import { isDiskFull } from './space-guard.ts';

const SUFFIX = '.damaged';

/** Files that an earlier start set aside. */
export function isSetAsideName(name: string): boolean {
  return /^metrics-\d+\.ndjson\.damaged(-\d+)?$/.test(name);
}

/**
 * Sets the file at `path` aside. A crash at any point leaves the damaged file under at least one of the names.
 * @param goodEnd end of the last good commit; 0 leaves no segment
 * @returns the name that the damaged file has now: its own if the disk has no room for a second one
 */
export function setAside(ops: FileOps, path: string, goodEnd: number): string {
  const target = freeName(ops, path);
  if (goodEnd === 0) {
    ops.rename(path, target);
    return basename(target);
  }
  if (!copy(ops, path, target)) return basename(path);
  const fd = ops.open(path, constants.O_RDWR);
  try {
    ops.truncate(fd, goodEnd);
    ops.fsync(fd);
  } finally {
    ops.close(fd);
  }
  return basename(target);
}

/** False when the disk is full. */
function copy(ops: FileOps, path: string, target: string): boolean {
  const unfinished = `${target}.new`;
  try {
    ops.copyFile(path, unfinished);
    syncFile(ops, unfinished);
    ops.rename(unfinished, target);
    return true;
  } catch (error) {
    if (ops.exists(unfinished)) ops.unlink(unfinished);
    if (!isDiskFull(error)) throw error;
    return false;
  }
}

function freeName(ops: FileOps, path: string): string {
  let name = `${path}${SUFFIX}`;
  for (let number = 2; ops.exists(name); number++) name = `${path}${SUFFIX}-${number}`;
  return name;
}

function syncFile(ops: FileOps, path: string): void {
  const fd = ops.open(path, constants.O_RDWR);
  try {
    ops.fsync(fd);
  } finally {
    ops.close(fd);
  }
}
