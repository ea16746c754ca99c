/**
 * `DATA_DIR/exports/<sink>.json`: what an exporter last knew about its sink.
 *
 * Retention reads it to keep what a required sink has not got yet, and people read it through `export --status` and the
 * live page. It is a hint: the truth is in the sink, so losing the file costs nothing but disk space.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { makeDirectories } from '../base/directories.ts';

const DIRECTORY = 'exports';
const SUFFIX = '.json';
/** Names of sinks are names of files. */
const SINK_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const FILE_MAX_BYTES = 64 << 10;

export interface CursorFile {
  /** The name of the sink. */
  readonly sink: string;
  /** Where it is, without a password. */
  readonly place: string;
  /** The log's id. */
  readonly log: string;
  /** The last commit that survives a crash of the sink, and its segment. */
  readonly commit: number;
  readonly segment: number;
  /** Unix ms. */
  readonly updatedMs: number;
  /** `shipping`, `waiting` (caught up), `retrying`, `stopped` or `failed`. */
  readonly state: string;
  /** The error of the last try, or ''. */
  readonly error: string;
  readonly lagCommits: number;
  readonly lagBytes: number;
  readonly lagSeconds: number;
  readonly metricsTotal: number;
}

export function isSinkName(name: string): boolean {
  return SINK_NAME.test(name);
}

/** Replaces the file: a reader sees the old text or the new one. @throws system errors */
export function writeCursorFile(dataDir: string, cursor: CursorFile): void {
  const directory = join(dataDir, DIRECTORY);
  makeDirectories(directory, 0o750);
  const path = join(directory, cursor.sink + SUFFIX);
  const next = `${path}.new`;
  fs.writeFileSync(next, `${JSON.stringify(cursor)}\n`, { mode: 0o640 });
  fs.renameSync(next, path);
}

/** Null when there is no such file or it is not one of ours. */
export function readCursorFile(dataDir: string, sink: string): CursorFile | null {
  try {
    const path = join(dataDir, DIRECTORY, sink + SUFFIX);
    if (fs.statSync(path).size > FILE_MAX_BYTES) return null;
    const cursor = JSON.parse(fs.readFileSync(path, 'utf8')) as CursorFile;
    return isCursor(cursor) && cursor.sink === sink ? cursor : null;
  } catch {
    return null;
  }
}

/** Written by another version or by other hands: only what retention relies on must be right. */
function isCursor({ sink, log, commit, updatedMs }: CursorFile): boolean {
  return (
    typeof sink === 'string' &&
    typeof log === 'string' &&
    Number.isSafeInteger(commit) &&
    commit >= 0 &&
    Number.isFinite(updatedMs)
  );
}

/** The cursors of all sinks, by name. */
export function readCursorFiles(dataDir: string): CursorFile[] {
  let names: string[];
  try {
    names = fs.readdirSync(join(dataDir, DIRECTORY));
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith(SUFFIX))
    .sort()
    .map((name) => readCursorFile(dataDir, name.slice(0, -SUFFIX.length)))
    .filter((cursor) => cursor !== null);
}
