/**
 * `DATA_DIR/exports/<sink>.json`: what an exporter last knew about its sink.
 *
 * Retention reads it to keep what a required sink does not hold yet, and people read it through `export --status` and the
 * live page. It is a hint: the truth is in the sink, so losing the file costs nothing but disk space.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../base/directories.ts';

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
  /** Who wrote the file, as the sink knows it. */
  readonly exporter?: string;
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
  /** Metrics and damaged commits that this run of the exporter put into the quarantine of the sink. */
  readonly quarantined: number;
}

export function isSinkName(name: string): boolean {
  return SINK_NAME.test(name);
}

/**
 * Replaces the file: a reader sees the old text or the new one. Creates its directory, but not the data directory: a
 * server would go on in one that appears where its own was.
 * @throws system errors
 */
export function writeCursorFile(dataDir: string, cursor: CursorFile): void {
  const directory = join(dataDir, DIRECTORY);
  if (!fs.existsSync(directory)) makeDirectory(directory, 0o750);
  const path = join(directory, cursor.sink + SUFFIX);
  const next = `${path}.new`;
  fs.writeFileSync(next, `${JSON.stringify(cursor)}\n`, { mode: 0o640 });
  fs.renameSync(next, path);
}

/** For a thread that may block. Null if the file is missing or not one of ours. */
export function readCursorFile(dataDir: string, sink: string): CursorFile | null {
  try {
    const path = pathOf(dataDir, sink);
    return fs.statSync(path).size > FILE_MAX_BYTES ? null : parse(fs.readFileSync(path, 'utf8'), sink);
  } catch {
    return null;
  }
}

const pathOf = (dataDir: string, sink: string): string => join(dataDir, DIRECTORY, sink + SUFFIX);

/** Null for the text of another version or another program: what retention relies on must be right. */
function parse(text: string, name: string): CursorFile | null {
  const cursor = JSON.parse(text) as CursorFile;
  const { sink, log, commit, updatedMs } = cursor;
  const isSound =
    sink === name &&
    typeof log === 'string' &&
    Number.isSafeInteger(commit) &&
    commit >= 0 &&
    Number.isFinite(updatedMs);
  return isSound ? cursor : null;
}

/** The cursors of all sinks, by name. Never blocks. */
export async function readCursorFiles(dataDir: string): Promise<CursorFile[]> {
  const names = await fs.promises.readdir(join(dataDir, DIRECTORY)).catch(() => []);
  const sinks = names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length));
  const cursors = await Promise.all(sinks.sort().map((sink) => read(dataDir, sink)));
  return cursors.filter((cursor) => cursor !== null);
}

async function read(dataDir: string, sink: string): Promise<CursorFile | null> {
  try {
    const path = pathOf(dataDir, sink);
    const { size } = await fs.promises.stat(path);
    return size > FILE_MAX_BYTES ? null : parse(await fs.promises.readFile(path, 'utf8'), sink);
  } catch {
    return null;
  }
}
