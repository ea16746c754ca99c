/**
 * Reads the commits of a segment forward in bounded memory, for recovery, `tail` and `verify`.
 *
 * The CRC is computed during the search for the next seal, so a commit of any size needs one pass and one buffer. When a
 * seal does not prove the bytes before it, the reader continues to the next one. If that seal proves exactly the bytes it
 * claims, and they start later than expected, the bytes in between are damaged and the commit itself is good.
 */
import zlib from 'node:zlib';
import type { FileOps } from './file-ops.ts';
import { endsLikeSeal, MARKER, SEAL_CUT, SEAL_MAX_BYTES, SEAL_WHOLE, SealReader } from './seal.ts';

const READ_BYTES = 1 << 20;

export type SegmentItem =
  | {
      readonly kind: 'good';
      readonly offset: number;
      /** All bytes of the commit, and those before its seal. */
      readonly bytes: number;
      readonly dataBytes: number;
      readonly lines: number;
      readonly commit: number;
    }
  /** Bytes that no seal proves, before a good commit or with an end that no crash leaves. */
  | { readonly kind: 'damaged'; readonly offset: number; readonly bytes: number; readonly reason: string }
  /** The end of the file, as an interrupted write leaves it. */
  | { readonly kind: 'torn'; readonly offset: number; readonly bytes: number };

export type GoodCommit = Extract<SegmentItem, { kind: 'good' }>;

/** Yields the parts of the file in order, without gaps or overlaps, from the commit that starts at `from`. */
export function* readSegment(ops: FileOps, fd: number, from = 0): Generator<SegmentItem, void> {
  yield* new SegmentReader(ops, fd, from).items();
}

class SegmentReader {
  private readonly ops: FileOps;
  private readonly fd: number;
  private readonly seal = new SealReader();
  private readonly buffer = Buffer.allocUnsafe(READ_BYTES + SEAL_MAX_BYTES);
  /** File offset of `buffer[0]`, and how many bytes it holds. */
  private base: number;
  private length = 0;
  private atEnd = false;
  /** Where the current commit starts: the end of the last good one. */
  private start: number;
  /** CRC of the file from `start` to `crcEnd`. */
  private crc = 0;
  private crcEnd: number;
  /** Why the first seal since `start` proved nothing. */
  private suspect = '';

  constructor(ops: FileOps, fd: number, from: number) {
    this.ops = ops;
    this.fd = fd;
    this.base = this.start = this.crcEnd = from;
  }

  *items(): Generator<SegmentItem, void> {
    let scan = 0;
    for (;;) {
      const at = this.findMarker(scan);
      // A seal must be in the buffer whole, and the last bytes may be the start of a marker.
      const keepFrom = at >= 0 ? at : Math.max(scan, this.length - (MARKER.length - 1));
      if (!this.atEnd && (at < 0 || this.length - at < SEAL_MAX_BYTES)) {
        this.refill(keepFrom);
        scan = 0;
        continue;
      }
      if (at < 0) break;
      const good = this.check(at);
      scan = at + MARKER.length;
      if (good === null) continue;
      const { offset } = good;
      if (offset > this.start) {
        yield { kind: 'damaged', offset: this.start, bytes: offset - this.start, reason: this.reason() };
      }
      yield good;
      this.begin(offset + good.bytes);
      scan = this.start - this.base;
    }
    const rest = this.rest();
    if (rest !== null) yield rest;
  }

  private findMarker(from: number): number {
    const at = this.buffer.indexOf(MARKER, from);
    // Bytes after `length` are stale.
    return at + MARKER.length <= this.length ? at : -1;
  }

  private begin(offset: number): void {
    this.start = this.crcEnd = offset;
    this.crc = 0;
    this.suspect = '';
  }

  private reason(): string {
    return this.suspect || 'no seal';
  }

  /** The commit that the seal at `buffer[at]` proves, or null. */
  private check(at: number): GoodCommit | null {
    const { seal } = this;
    const state = seal.read(this.buffer, at, this.length);
    if (state !== SEAL_WHOLE) {
      if (state !== SEAL_CUT) this.suspect ||= 'its seal is not readable';
      return null;
    }
    const sealOffset = this.base + at;
    const offset = sealOffset - seal.bytes;
    const headEnd = sealOffset + seal.headBytes;
    if (offset < this.start) {
      this.suspect ||= `its seal claims ${seal.bytes} bytes, ${sealOffset - this.start} are there`;
      return null;
    }
    const crc = offset === this.start ? this.crcUpTo(headEnd) : this.crcOfFile(offset, headEnd);
    if (crc !== seal.crc) {
      this.suspect ||= 'its CRC does not match';
      return null;
    }
    const { commit, lines, sealBytes, bytes: dataBytes } = seal;
    return { kind: 'good', offset, bytes: dataBytes + sealBytes, dataBytes, lines, commit };
  }

  /** Continues the running CRC to a file offset within the buffer. */
  private crcUpTo(end: number): number {
    this.addToCrc(end);
    return this.crc;
  }

  private addToCrc(end: number): void {
    if (end <= this.crcEnd) return;
    this.crc = zlib.crc32(this.buffer.subarray(this.crcEnd - this.base, end - this.base), this.crc);
    this.crcEnd = end;
  }

  private crcOfFile(from: number, to: number): number {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, to - from));
    let crc = 0;
    for (let at = from; at < to; ) {
      const read = this.ops.read(this.fd, chunk, 0, Math.min(chunk.length, to - at), at);
      // The file got shorter during the read: this cannot be a good commit.
      if (read === 0) return -1;
      crc = zlib.crc32(chunk.subarray(0, read), crc);
      at += read;
    }
    return crc;
  }

  /** Adds the buffer up to `keepFrom` to the CRC, drops it, and reads more after the rest. */
  private refill(keepFrom: number): void {
    this.addToCrc(this.base + keepFrom);
    this.buffer.copyWithin(0, keepFrom, this.length);
    this.base += keepFrom;
    this.length -= keepFrom;
    const room = this.buffer.length - this.length;
    const read = this.ops.read(this.fd, this.buffer, this.length, room, this.base + this.length);
    this.length += read;
    this.atEnd = read === 0;
  }

  /** The bytes after the last good commit. */
  private rest(): SegmentItem | null {
    const offset = this.start;
    const bytes = this.base + this.length - offset;
    if (bytes === 0) return null;
    if (this.suspect === '' && this.endsWithSeal(offset)) this.suspect = 'its seal is not readable';
    if (this.suspect !== '') return { kind: 'damaged', offset, bytes, reason: this.suspect };
    return { kind: 'torn', offset, bytes };
  }

  private endsWithSeal(from: number): boolean {
    const end = this.base + this.length;
    const tail = Buffer.alloc(Math.min(end - from, 2 * SEAL_MAX_BYTES));
    const read = this.ops.read(this.fd, tail, 0, tail.length, end - tail.length);
    return endsLikeSeal(tail.subarray(0, read));
  }
}

/** The lines of a good commit without the seal, as the writer got them. Null when the seal no longer proves the bytes. */
export function readLines(ops: FileOps, fd: number, commit: GoodCommit): Buffer | null {
  const bytes = Buffer.allocUnsafe(commit.bytes);
  for (let at = 0; at < bytes.length; ) {
    const read = ops.read(fd, bytes, at, bytes.length - at, commit.offset + at);
    if (read === 0) return null;
    at += read;
  }
  const seal = new SealReader();
  if (seal.read(bytes, commit.dataBytes, bytes.length) !== SEAL_WHOLE || seal.bytes !== commit.dataBytes)
    return null;
  if (zlib.crc32(bytes.subarray(0, commit.dataBytes + seal.headBytes)) !== seal.crc) return null;
  bytes.write('}\n', commit.dataBytes, 'latin1');
  return bytes.subarray(0, commit.dataBytes + 2);
}

/** Checks the numbers of good commits across segments: each is one more than the one before. */
export class CommitSequence {
  /** The last good commit, or 0 before the first. */
  last = 0;

  /** The problem with `commit` coming next, or null. The first may be any, since retention deletes old ones. */
  follow(commit: number): string | null {
    const { last } = this;
    this.last = commit;
    if (last === 0 || commit === last + 1) return null;
    if (commit <= last) return `commit ${commit} follows commit ${last}`;
    return commit === last + 2
      ? `commit ${last + 1} is missing`
      : `commits ${last + 1} to ${commit - 1} are missing`;
  }
}
