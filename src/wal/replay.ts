/**
 * Reads back what a write-ahead file holds that the segments lack.
 *
 * A file is read block by block. Blocks that start a whole record of the file's generation are collected, whatever
 * lies between them: blocks of earlier generations, overwritten tails, torn writes. The records that follow the last
 * copied one without a gap were acknowledged, or may have been, and are replayed in order.
 *
 * A gap ends the log, unless records behind it prove that it was once whole: a lane submits a record only while fewer than
 * `DEPTH_MAX` before it are unacknowledged. So one further behind was submitted after the missing one had been acknowledged.
 * Then the missing records are counted as damaged, and the replay goes on behind them.
 */
import { constants } from 'node:fs';
import { type FileOps, withFile } from '../storage/file-ops.ts';
import { BLOCK_BYTES, RECORD_HEADER_BYTES, readRecordHeader, recordBytes, recordIsWhole } from './record.ts';
import { decodeHeader, type WalHeader } from './wal-file.ts';

/** The most records that any back-end has submitted and not acknowledged. */
export const DEPTH_MAX = 4;
const READ_BYTES = 1 << 20;

/** A record found in a file. */
export interface FoundRecord {
  readonly sequence: number;
  /** File offset of its header. */
  readonly offset: number;
  readonly bytes: number;
  readonly lines: number;
}

export interface LaneLog {
  /** Null when block 0 is not a header: the file was never finished, or is damaged. */
  readonly header: WalHeader | null;
  /** Whole records of the header's generation, by sequence. */
  readonly records: readonly FoundRecord[];
}

export interface ReplayPlan {
  /** Records to append to segments, in order. */
  readonly records: readonly FoundRecord[];
  /** Acknowledged records that are missing or damaged. */
  readonly damaged: number;
  /** Records behind the last acknowledged one that are dropped: their requests were never answered. */
  readonly dropped: number;
}

/**
 * @throws the file system's error, whatever block cannot be read: it may hold the last acknowledged record, and then no
 * gap would show
 */
export function readLaneLog(ops: FileOps, path: string): LaneLog {
  return withFile(ops, path, constants.O_RDONLY, (fd) => {
    const block = Buffer.alloc(BLOCK_BYTES);
    const read = ops.read(fd, block, 0, BLOCK_BYTES, 0);
    const header = decodeHeader(block.subarray(0, read));
    if (header === null) return { header, records: [] };
    return { header, records: findRecords(ops, fd, ops.stat(path).size, header) };
  });
}

function findRecords(ops: FileOps, fd: number, fileBytes: number, header: WalHeader): FoundRecord[] {
  const found: FoundRecord[] = [];
  const buffer = new FileWindow(ops, fd, fileBytes);
  for (let offset = BLOCK_BYTES; offset + BLOCK_BYTES <= fileBytes; ) {
    const record = wholeRecordAt(buffer, offset, fileBytes, header);
    if (record !== null) found.push(record);
    offset += record === null ? BLOCK_BYTES : recordBytes(record.bytes);
  }
  return found.sort((a, b) => a.sequence - b.sequence);
}

function wholeRecordAt(
  window: FileWindow,
  offset: number,
  fileBytes: number,
  { lane, generation }: WalHeader,
): FoundRecord | null {
  const head = window.at(offset, BLOCK_BYTES);
  const record = readRecordHeader(viewOf(head), 0);
  if (record === null || record.lane !== lane || record.generation !== generation) return null;
  const { bytes, lines, sequence } = record;
  if (offset + recordBytes(bytes) > fileBytes) return null;
  const whole = window.at(offset, RECORD_HEADER_BYTES + bytes);
  return recordIsWhole(whole, viewOf(whole), 0, bytes) ? { sequence, offset, bytes, lines } : null;
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A file read through one buffer, which grows to the largest part asked for. */
class FileWindow {
  private readonly ops: FileOps;
  private readonly fd: number;
  private readonly fileBytes: number;
  private buffer = Buffer.alloc(READ_BYTES);
  private start = 0;
  private length = 0;

  constructor(ops: FileOps, fd: number, fileBytes: number) {
    this.ops = ops;
    this.fd = fd;
    this.fileBytes = fileBytes;
  }

  /** Bytes `[offset, offset + bytes)`; valid until the next call. */
  at(offset: number, bytes: number): Buffer {
    if (offset < this.start || offset + bytes > this.start + this.length) this.load(offset, bytes);
    return this.buffer.subarray(offset - this.start, offset - this.start + bytes);
  }

  private load(offset: number, bytes: number): void {
    if (bytes > this.buffer.length) this.buffer = Buffer.alloc(bytes);
    this.start = offset;
    this.length = 0;
    const wanted = Math.min(this.buffer.length, this.fileBytes - offset);
    while (this.length < wanted) {
      const read = this.ops.read(
        this.fd,
        this.buffer,
        this.length,
        wanted - this.length,
        offset + this.length,
      );
      if (read === 0) break;
      this.length += read;
    }
    this.buffer.fill(0, this.length);
  }
}

/** @param copied sequence of the last record that the segments hold */
export function planReplay(records: readonly FoundRecord[], copied: number): ReplayPlan {
  const waiting = records.filter(({ sequence }) => sequence > copied);
  const last = waiting.at(-1)?.sequence ?? copied;
  const replayed: FoundRecord[] = [];
  let damaged = 0;
  let expected = copied + 1;
  for (const record of waiting) {
    const missing = record.sequence - expected;
    // Whoever submitted `last` had seen everything but the records just before it acknowledged.
    if (missing > 0 && last - expected < DEPTH_MAX) break;
    damaged += missing;
    replayed.push(record);
    expected = record.sequence + 1;
  }
  return { records: replayed, damaged, dropped: waiting.length - replayed.length };
}
