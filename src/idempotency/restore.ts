/**
 * Reads the keys of the window back from the segments, before the server listens.
 *
 * Only commits that their seals prove count: if a commit is damaged, readers skip its metrics, so a retry has to store
 * them again. A segment without stamps costs one search at several GB/s; only others are read commit by commit.
 *
 * A closed segment may be unreadable, or be deleted by the archiver at this moment. It is left out: nothing else of the
 * start needs it.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { systemErrorText } from '../base/errors.ts';
import { STAMP_MARKER, STAMP_SPAN_BYTES, StampReader } from '../encoder/request-stamp.ts';
import { type FileOps, isFileError } from '../storage/file-ops.ts';
import { listSegmentFiles, segmentName } from '../storage/segment-name.ts';
import { readSegment } from '../storage/segment-reader.ts';
import { WRITER } from '../telemetry/counters.ts';
import { readSecret } from './secret.ts';
import { KeyTable } from './table.ts';

const READ_BYTES = 1 << 20;

/** Log line about `RestoreReport.unread`. */
export const KEYS_FORGOTTEN =
  'the idempotency keys in these segments are forgotten: a request repeated with one is stored again. ' +
  'If a segment still exists, make it readable and restart';

export interface RestoreConfig {
  readonly dataDir: string;
  readonly idempotencyWindowMs: number;
  /** Keys that the table is made for: with so many restored, older segments need no reading. */
  readonly idempotencyKeys: number;
}

export interface RestoreReport {
  readonly keys: number;
  readonly segments: number;
  readonly bytes: number;
  readonly tookMs: number;
  /** Segments whose keys are forgotten, at least in part, each with the reason. */
  readonly unread: readonly string[];
}

/**
 * Call it after the recovery of the log and before any thread serves.
 * @param counters of the writer, which expose the number of keys
 * @throws the file system's error, or an Error when the secret's file is damaged
 */
export function restoreKeys(
  ops: FileOps,
  memory: SharedArrayBuffer,
  counters: SharedArrayBuffer,
  { dataDir, idempotencyWindowMs: windowMs, idempotencyKeys }: RestoreConfig,
): RestoreReport {
  const startMs = performance.now();
  const nowMs = Date.now();
  const unread: string[] = [];
  let keys = 0;
  let segments = 0;
  let bytes = 0;
  if (windowMs > 0 && readSecret(ops, dataDir) !== null) {
    const restorer = new Restorer(ops, new KeyTable(memory), nowMs);
    for (const sequence of listSegmentFiles(ops, dataDir).toReversed()) {
      const name = segmentName(sequence);
      const path = join(dataDir, name);
      try {
        const { size, mtimeMs } = ops.stat(path);
        // Older segments end before the window begins.
        if (nowMs - mtimeMs > windowMs || restorer.keys >= idempotencyKeys) break;
        restorer.restore(path, size);
        segments++;
        bytes += size;
      } catch (error) {
        if (!isFileError(error)) throw error;
        unread.push(`${name}: ${systemErrorText(error)}`);
      }
    }
    keys = restorer.keys;
  }
  new Float64Array(counters)[WRITER.restored_keys] = keys;
  return { keys, segments, bytes, tookMs: Math.round(performance.now() - startMs), unread };
}

class Restorer {
  /** Keys that the table remembers. */
  keys = 0;
  private readonly ops: FileOps;
  private readonly table: KeyTable;
  private readonly nowMs: number;
  private readonly stamp = new StampReader();
  private readonly chunk = Buffer.alloc(READ_BYTES);

  constructor(ops: FileOps, table: KeyTable, nowMs: number) {
    this.ops = ops;
    this.table = table;
    this.nowMs = nowMs;
  }

  /** @throws the file system's error; the keys before it are remembered */
  restore(path: string, size: number): void {
    const fd = this.ops.open(path, constants.O_RDONLY);
    try {
      if (this.scan(fd, 0, size, false)) this.restoreCommits(fd);
    } finally {
      this.ops.close(fd);
    }
  }

  private restoreCommits(fd: number): void {
    for (const item of readSegment(this.ops, fd)) {
      if (item.kind === 'good') this.scan(fd, item.offset, item.offset + item.bytes, true);
    }
  }

  /** Puts the stamps within a range of the file into the table, or stops at the first. False if there are none. */
  private scan(fd: number, from: number, to: number, takes: boolean): boolean {
    const { chunk, stamp, table, nowMs } = this;
    let isStamped = false;
    for (let at = from; at < to; ) {
      const read = this.ops.read(fd, chunk, 0, Math.min(chunk.length, to - at), at);
      if (read === 0) break;
      const text = chunk.subarray(0, read);
      for (let k = text.indexOf(STAMP_MARKER); k >= 0; k = text.indexOf(STAMP_MARKER, k + 1)) {
        if (!stamp.read(text, k)) continue;
        isStamped = true;
        if (!takes) return true;
        if (table.restore(stamp.hash, stamp.crc, stamp.atMs, nowMs)) this.keys++;
      }
      // A stamp may begin in one chunk and end in the next.
      at += at + read < to ? Math.max(1, read - STAMP_SPAN_BYTES + 1) : read;
    }
    return isStamped;
  }
}
