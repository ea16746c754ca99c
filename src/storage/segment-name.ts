/** Names of segment files: `metrics-<sequence>.ndjson`, the sequence padded to eight digits so that names sort. */
import { join } from 'node:path';
import { codeOf, type FileOps, isFileError } from './file-ops.ts';

const SEQUENCE_DIGITS = 8;
const NAME = /^metrics-(\d{8,15})\.ndjson$/;
/** The highest segment with which a start continues: the names of all that follow match. */
export const SEQUENCE_MAX = 1e14;
/** Files opened ahead for the next rotations (spares.ts). */
const SPARE_NAME = /^\.spare-\d+\.ndjson$/;

export function segmentName(sequence: number): string {
  return `metrics-${String(sequence).padStart(SEQUENCE_DIGITS, '0')}.ndjson`;
}

export function spareName(number: number): string {
  return `.spare-${number}.ndjson`;
}

export function isSpareName(name: string): boolean {
  return SPARE_NAME.test(name);
}

/** Sequences of the segments in `dataDir`, ascending. Ignores other files. */
export function listSegments(ops: FileOps, dataDir: string): number[] {
  return ops
    .readdir(dataDir)
    .map((name) => NAME.exec(name))
    .filter((match) => match !== null)
    .map((match) => Number(match[1]))
    .sort((a, b) => a - b);
}

/** Lists files only: someone may have put a directory, a pipe or a dangling link under the name of a segment. */
export function listSegmentFiles(ops: FileOps, dataDir: string): number[] {
  return listSegments(ops, dataDir).filter((sequence) =>
    mayBeFile(ops, join(dataDir, segmentName(sequence))),
  );
}

/** True also if the status cannot be read: a caller that needs the content gets the error. */
function mayBeFile(ops: FileOps, path: string): boolean {
  try {
    return isRegularFile(ops, path);
  } catch (error) {
    if (!isFileError(error)) throw error;
    return true;
  }
}

/**
 * False also for a link to a place that is not there now, such as an archive that is not mounted.
 * @throws the file system's error if the status cannot be read
 */
export function isRegularFile(ops: FileOps, path: string): boolean {
  try {
    return ops.stat(path).isFile();
  } catch (error) {
    if (['ENOENT', 'ELOOP'].includes(codeOf(error))) return false;
    throw error;
  }
}
