/** Sinks of `metricsstream export`: up to which commit segments may be deleted, and the archive's own progress. */
import { join } from 'node:path';
import { readArchivedSegments } from '../storage/archived-segments.ts';
import { readCursorFiles, writeCursorFile } from '../storage/cursor-file.ts';
import { nodeFileOps as ops } from '../storage/file-ops.ts';
import type { Lag } from './lag.ts';
import { ARCHIVE_DIRECTORY, type Manifest } from './manifest.ts';

/** The name under which the archive reports its own progress. */
const ARCHIVE_SINK = 'archive';

/**
 * The last commit that every sink has; Infinity without sinks. Counts required sinks and sinks that ever exported from
 * this directory. A required sink that never exported has no commit.
 */
export async function deletableCommit(
  dataDir: string,
  log: string,
  required: readonly string[],
): Promise<number> {
  const known = new Map((await readCursorFiles(dataDir)).map((cursor) => [cursor.sink, cursor]));
  const names = new Set([...required, ...known.keys()]);
  names.delete(ARCHIVE_SINK);
  let commit = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const cursor = known.get(name);
    commit = Math.min(commit, cursor?.log === log ? cursor.commit : 0);
  }
  return commit;
}

/**
 * Writes the archive's own cursor, as exporters do, so that a server with `--required-sinks archive` keeps what is not
 * archived.
 */
export function reportProgress(dataDir: string, manifest: Manifest, lag: Lag): void {
  const [, lastDeleted = 0] = readArchivedSegments(ops, dataDir).deleted.at(-1) ?? [];
  const last = Math.max(manifest.segments.at(-1)?.sequence ?? 0, lastDeleted);
  // A segment that could not be read, with archived ones behind it, must be kept: then nothing counts as archived.
  const isComplete = lag.sequence > last;
  writeCursorFile(dataDir, {
    sink: ARCHIVE_SINK,
    place: join(dataDir, ARCHIVE_DIRECTORY),
    log: manifest.log,
    commit: isComplete ? (manifest.commits.at(-1)?.[1] ?? 0) : 0,
    segment: last,
    updatedMs: Date.now(),
    state: 'waiting',
    error: '',
    lagCommits: 0,
    lagBytes: lag.bytes,
    lagSeconds: lag.seconds,
    quarantined: 0,
    metricsTotal: manifest.files.reduce((sum, { lines }) => sum + lines, 0) + manifest.expiredLines,
  });
}
