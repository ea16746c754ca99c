/**
 * The identity of a log and the numbers that it has used, kept beside the segments.
 *
 * `log.json` makes sure that segment and commit numbers never restart, whatever happened to the segments, and lets
 * `verify` notice commits that no file holds. It is written at each start and stop, with the first commit of each
 * segment before it is acknowledged, and while the log is in use at least every ten seconds. `reserved` bounds the
 * commit numbers in use between two writes. `.log.json` is a copy, in case only one of the two is lost or damaged.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { codeOf, type FileOps } from './file-ops.ts';

const LOG_FILE = 'log.json';
const COPY_FILE = '.log.json';

/** Commit numbers that the record reserves: it is written again when they are used up. */
export const RESERVED_COMMITS = 1 << 20;

export interface LogRecord {
  /** A UUID. */
  readonly id: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** The highest segment that was created, now and at the last start. */
  readonly segment: number;
  readonly startSegment: number;
  /** The highest commit that was durable when this was written. */
  readonly commit: number;
  /** Commits up to this number may have been stored since. */
  readonly reserved: number;
  /** Commits up to this number were deleted by retention. */
  readonly deletedCommit: number;
  /** True after an orderly stop: no commit follows `commit`. */
  readonly clean: boolean;
}

const NUMBERS = ['segment', 'startSegment', 'commit', 'reserved', 'deletedCommit'] as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface FoundRecord {
  /** Null when neither copy exists or is readable. */
  readonly record: LogRecord | null;
  /** Names of copies that exist and are not valid. */
  readonly damaged: readonly string[];
}

/**
 * Reads both copies and returns the newer one.
 * @throws the file system's error when a copy exists and cannot be read
 */
export function readLogRecord(ops: FileOps, dataDir: string): FoundRecord {
  const damaged: string[] = [];
  const records: LogRecord[] = [];
  for (const name of [LOG_FILE, COPY_FILE]) {
    const text = readText(ops, join(dataDir, name));
    if (text === null) continue;
    const record = parse(text);
    if (record === null) damaged.push(name);
    else records.push(record);
  }
  const [first, second] = records;
  const isOlder =
    second !== undefined && first !== undefined && first.id === second.id && isNewer(second, first);
  return { record: (isOlder ? second : first) ?? null, damaged };
}

function isNewer(a: LogRecord, b: LogRecord): boolean {
  return a.commit > b.commit || a.segment > b.segment || a.reserved > b.reserved;
}

/** Checked by hand: threads that live for one request load this module, and a schema library costs them too much. */
function parse(text: string): LogRecord | null {
  try {
    const record = JSON.parse(text) as LogRecord;
    return isRecord(record) ? record : null;
  } catch {
    return null;
  }
}

function isRecord(record: LogRecord): boolean {
  const { id, createdAt, clean } = record;
  return (
    UUID.test(id) &&
    typeof createdAt === 'string' &&
    typeof clean === 'boolean' &&
    NUMBERS.every((name) => Number.isSafeInteger(record[name]) && record[name] >= 0)
  );
}

function readText(ops: FileOps, path: string): string | null {
  let fd: number;
  try {
    fd = ops.open(path, constants.O_RDONLY);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(4096);
    return bytes.toString('utf8', 0, ops.read(fd, bytes, 0, bytes.length, 0));
  } catch (error) {
    // Reading a directory or a pipe fails without a path.
    throw Object.assign(error as Error, { path });
  } finally {
    ops.close(fd);
  }
}

/** Replaces both copies durably, one after the other. Throws the file system's error. */
export function writeLogRecord(ops: FileOps, dataDir: string, record: LogRecord): void {
  const text = `${JSON.stringify(record)}\n`;
  ops.replaceFile(join(dataDir, LOG_FILE), text);
  ops.replaceFile(join(dataDir, COPY_FILE), text);
}

/** True when both copies exist. */
export function hasLogRecord(ops: FileOps, dataDir: string): boolean {
  return ops.exists(join(dataDir, LOG_FILE)) && ops.exists(join(dataDir, COPY_FILE));
}
