/**
 * Reads the keys of the window back from the segments, before the server listens.
 *
 * Only commits that their seals prove count: if a commit is damaged, readers skip its metrics, so a retry has to store
 * them again. A segment without stamps costs one search at several GB/s; only others are read commit by commit.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { STAMP_MARKER, STAMP_SPAN_BYTES, StampReader } from '../encoder/request-stamp.ts';
import type { FileOps } from '../storage/file-ops.ts';
import { listSegmentFiles, segmentName } from '../storage/segment-name.ts';
import { readSegment } from '../storage/segment-reader.ts';
import { WRITER } from '../telemetry/counters.ts';
import { readSecret } from './secret.ts';
import { KeyTable } from './table.ts';

const READ_BYTES = 1 << 20;

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
  let keys = 0;
  let segments = 0;
  let bytes = 0;
  if (windowMs > 0 && readSecret(ops, dataDir) !== null) {
    const restorer = new Restorer(ops, new KeyTable(memory), nowMs);
    for (const sequence of listSegmentFiles(ops, dataDir).toReversed()) {
      const path = join(dataDir, segmentName(sequence));
      const { size, mtimeMs } = ops.stat(path);
      // Older segments end before the window begins.
      if (nowMs - mtimeMs > windowMs || keys >= idempotencyKeys) break;
      keys += restorer.restore(path, size);
      segments++;
      bytes += size;
    }
  }
  new Float64Array(counters)[WRITER.restored_keys] = keys;
  return { keys, segments, bytes, tookMs: Math.round(performance.now() - startMs) };
}

class Restorer {
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

  /** Returns how many keys of the segment are remembered. */
  restore(path: string, size: number): number {
    const fd = this.ops.open(path, constants.O_RDONLY);
    try {
      return this.scan(fd, 0, size, false) === 0 ? 0 : this.restoreCommits(fd);
    } finally {
      this.ops.close(fd);
    }
  }

  private restoreCommits(fd: number): number {
    let keys = 0;
    for (const item of readSegment(this.ops, fd)) {
      if (item.kind === 'good') keys += this.scan(fd, item.offset, item.offset + item.bytes, true);
    }
    return keys;
  }

  /** Stamps within a range of the file: how many the table takes, or 1 for the first that is found. */
  private scan(fd: number, from: number, to: number, takes: boolean): number {
    const { chunk, stamp, table, nowMs } = this;
    let keys = 0;
    for (let at = from; at < to; ) {
      const read = this.ops.read(fd, chunk, 0, Math.min(chunk.length, to - at), at);
      if (read === 0) return keys;
      const text = chunk.subarray(0, read);
      for (let k = text.indexOf(STAMP_MARKER); k >= 0; k = text.indexOf(STAMP_MARKER, k + 1)) {
        if (!stamp.read(text, k)) continue;
        if (!takes) return 1;
        if (table.restore(stamp.hash, stamp.crc, stamp.atMs, nowMs)) keys++;
      }
      // A stamp may begin in one chunk and end in the next.
      at += at + read < to ? Math.max(1, read - STAMP_SPAN_BYTES + 1) : read;
    }
    return keys;
  }
}
