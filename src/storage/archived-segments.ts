/**
 * The segments that `metricsstream archive` deletes: `DATA_DIR/archive/deleted-segments.json`.
 *
 * The archiver adds a segment before it deletes it, so that a server can tell an archived segment from one that other
 * processes removed: while it runs, and when it starts after a kill.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { codeOf, type FileOps } from './file-ops.ts';

const FILE = join('archive', 'deleted-segments.json');
/** More than a million ranges need; there is a new range only where a damaged segment stays. */
const FILE_MAX_BYTES = 32 << 20;

/** First and last sequence, both included. */
type SequenceRange = readonly [first: number, last: number];

export interface ArchivedSegments {
  /** Ascending ranges. */
  readonly deleted: readonly SequenceRange[];
  /** The last commit in them. */
  readonly commit: number;
}

const NONE: ArchivedSegments = { deleted: [], commit: 0 };

/** None when the file is missing or not readable. */
export function readArchivedSegments(ops: FileOps, dataDir: string): ArchivedSegments {
  try {
    const fd = ops.open(join(dataDir, FILE), constants.O_RDONLY);
    try {
      const { size } = ops.fstat(fd);
      if (size > FILE_MAX_BYTES) return NONE;
      const bytes = Buffer.alloc(size);
      const text = bytes.toString('utf8', 0, ops.read(fd, bytes, 0, size, 0));
      return { ...NONE, ...(JSON.parse(text) as Partial<ArchivedSegments>) };
    } finally {
      ops.close(fd);
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return NONE;
    throw error;
  }
}

/** Replaces the file durably. Throws the file system's error. */
export function writeArchivedSegments(ops: FileOps, dataDir: string, archived: ArchivedSegments): void {
  ops.replaceFile(join(dataDir, FILE), `${JSON.stringify(archived)}\n`);
}
