/**
 * Makes durable what the last process left in the page cache, before a start relies on it.
 *
 * After a failed write-back the kernel keeps the pages and calls them clean: reads return bytes that the disk lacks, and
 * a later sync succeeds without writing them. So a sync alone proves nothing about bytes that no sync of the last process
 * covered. Written again in place, they are dirty: the next sync writes them or fails. The bytes stay the same, so a
 * crash at any point changes nothing.
 *
 * Only the last segment can hold such bytes: each one before it was synced before its successor got a name.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { type FileOps, withFile } from './file-ops.ts';
import { readLogRecord } from './log-record.ts';
import { listSegmentFiles, segmentName } from './segment-name.ts';
import { readSegment } from './segment-reader.ts';

const CHUNK_BYTES = 1 << 20;

interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * Writes what the last segment holds behind the last commit that the log record calls durable again, and syncs it.
 * Call this before anything reads the segment: pages that the disk lacks may leave the cache at any time.
 * @throws the file system's error when a read, a write or the sync fails: then nothing may rely on the segment
 */
export function rewriteUnsynced(ops: FileOps, dataDir: string): void {
  const last = listSegmentFiles(ops, dataDir).at(-1);
  if (last === undefined) return;
  const { record } = readLogRecord(ops, dataDir);
  // An orderly stop syncs first.
  if (record?.clean && last <= record.segment) return;
  const path = join(dataDir, segmentName(last));
  const range = unsyncedRange(ops, path, record?.commit ?? 0);
  if (range.from < range.to) rewrite(ops, path, range);
}

/** The bytes behind the commits up to `durable`, without a torn tail: recovery cuts that off. */
function unsyncedRange(ops: FileOps, path: string, durable: number): Range {
  let from = 0;
  let to = 0;
  let isCovered = true;
  withFile(ops, path, constants.O_RDONLY, (fd) => {
    for (const item of readSegment(ops, fd)) {
      if (item.kind === 'torn') continue;
      to = item.offset + item.bytes;
      if (item.kind !== 'good') continue;
      isCovered &&= item.commit <= durable;
      if (isCovered) from = to;
    }
  });
  return { from, to };
}

function rewrite(ops: FileOps, path: string, range: Range): void {
  withFile(ops, path, constants.O_RDWR, (fd) => {
    writeAgain(ops, fd, range);
    ops.fsync(fd);
  });
}

function writeAgain(ops: FileOps, fd: number, { from, to }: Range): void {
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, to - from));
  for (let at = from; at < to; ) {
    const read = ops.read(fd, chunk, 0, Math.min(chunk.length, to - at), at);
    // Another process cut the file: the recovery decides what that means.
    if (read === 0) return;
    for (let done = 0; done < read; ) {
      const written = ops.write(fd, chunk, done, read - done, at + done);
      if (written === 0) throw new MetricsStreamError('WRITER_FAILED', 'the file accepts no more bytes');
      done += written;
    }
    at += read;
  }
}
