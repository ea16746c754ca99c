/**
 * Reads the commits of a segment forward in bounded memory, for recovery, `tail` and `verify`.
 *
 * The CRC is computed during the search for the next seal, so a commit of any size needs one pass and one buffer. When a
 * seal does not prove the bytes before it, the reader continues to the next one. If that seal proves exactly the bytes it
 * claims, and they start later than expected, the bytes in between are damaged and the commit itself is good.
 */
import { crc32 } from '../base/crc32.ts';
import { stripStamps } from '../encoder/request-stamp.ts';
import type { FileOps } from './file-ops.ts';
import { endsLikeSeal, MARKER, SEAL_CUT, SEAL_MAX_BYTES, SEAL_WHOLE, SealReader } from './seal.ts';

const READ_BYTES = 1 << 20;
/** Of a reader that hands out lines: it holds each commit of up to half of this. */
const HELD_READ_BYTES = 4 << 20;
const NEWLINE = 0x0a;

export type SegmentItem =
  | {
      readonly kind: 'good';
      readonly offset: number;
      /** All bytes of the commit, and those before its seal. */
      readonly bytes: number;
      readonly dataBytes: number;
      readonly lines: number;
      readonly commit: number;
      readonly crc32: number;
      /** The mark of a write-ahead log in the seal; '' without one. */
      readonly mark: string;
    }
  /** Bytes that no seal proves, before a good commit or with an end that no crash leaves. */
  | {
      readonly kind: 'damaged';
      readonly offset: number;
      readonly bytes: number;
      readonly reason: string;
      /** The highest commit number in seals that prove nothing here, or 0. */
      readonly claimedCommit: number;
    }
  /** The end of the file, as an interrupted write leaves it. */
  | { readonly kind: 'torn'; readonly offset: number; readonly bytes: number };

export type GoodCommit = Extract<SegmentItem, { kind: 'good' }>;

/** Yields the parts of the file in order, without gaps or overlaps, from the commit that starts at `from`. */
export function* readSegment(ops: FileOps, fd: number, from = 0): Generator<SegmentItem, void> {
  yield* new SegmentReader(ops, fd, from, READ_BYTES, false).items();
}

/** Good commits of a segment with their lines, in one pass over the file. */
export interface LinesReader {
  /** As `readSegment`. */
  items(): Generator<SegmentItem, void>;
  /**
   * As `readLines`, for the item that `items` yielded last. Call it once, and use the lines before the next item: they are
   * in memory that is used again.
   */
  lines(commit: GoodCommit): Buffer | null;
}

export function openLinesReader(ops: FileOps, fd: number): LinesReader {
  return new SegmentReader(ops, fd, 0, HELD_READ_BYTES, true);
}

class SegmentReader implements LinesReader {
  private readonly ops: FileOps;
  private readonly fd: number;
  private readonly seal = new SealReader();
  private readonly buffer: Buffer;
  /** Commits stay in the buffer to their end if they fit into this. */
  private readonly heldBytesMax: number;
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
  private claimedCommit = 0;

  constructor(ops: FileOps, fd: number, from: number, readBytes: number, holdsCommits: boolean) {
    this.ops = ops;
    this.fd = fd;
    this.buffer = Buffer.allocUnsafe(readBytes + SEAL_MAX_BYTES);
    this.heldBytesMax = holdsCommits ? readBytes >> 1 : 0;
    this.base = this.start = this.crcEnd = from;
  }

  *items(): Generator<SegmentItem, void> {
    let scan = 0;
    for (;;) {
      const at = this.findMarker(scan);
      // A seal must be in the buffer whole, and the last bytes may be the start of a marker.
      const keepFrom = at >= 0 ? at : Math.max(scan, this.length - (MARKER.length - 1));
      if (!this.atEnd && (at < 0 || this.length - at < SEAL_MAX_BYTES)) {
        scan = this.refill(keepFrom);
        continue;
      }
      if (at < 0) break;
      const good = this.check(at);
      scan = at + MARKER.length;
      if (good === null) continue;
      const { offset } = good;
      if (offset > this.start) {
        yield this.damaged(offset - this.start, this.suspect || 'no seal');
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
    this.claimedCommit = 0;
  }

  private damaged(bytes: number, reason: string): SegmentItem {
    return { kind: 'damaged', offset: this.start, bytes, reason, claimedCommit: this.claimedCommit };
  }

  /** The commit that the seal at `buffer[at]` proves, or null. */
  private check(at: number): GoodCommit | null {
    const { seal } = this;
    const state = seal.read(this.buffer, at, this.length);
    if (state !== SEAL_WHOLE) {
      if (state !== SEAL_CUT) this.suspect ||= 'its seal is not readable';
      return null;
    }
    this.claimedCommit = Math.max(this.claimedCommit, seal.commit);
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
    const { commit, lines, mark, sealBytes, crc: crc32, bytes: dataBytes } = seal;
    return { kind: 'good', offset, bytes: dataBytes + sealBytes, dataBytes, lines, commit, crc32, mark };
  }

  /** Continues the running CRC to a file offset within the buffer. */
  private crcUpTo(end: number): number {
    this.addToCrc(end);
    return this.crc;
  }

  private addToCrc(end: number): void {
    if (end <= this.crcEnd) return;
    this.crc = crc32(this.buffer.subarray(this.crcEnd - this.base, end - this.base), this.crc);
    this.crcEnd = end;
  }

  private crcOfFile(from: number, to: number): number {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, to - from));
    let crc = 0;
    for (let at = from; at < to; ) {
      const read = this.ops.read(this.fd, chunk, 0, Math.min(chunk.length, to - at), at);
      // The file got shorter during the read: this cannot be a good commit.
      if (read === 0) return -1;
      crc = crc32(chunk.subarray(0, read), crc);
      at += read;
    }
    return crc;
  }

  /**
   * Adds the buffer up to `scanned` to the CRC, drops what is not needed any more, and reads more after the rest.
   * @returns where in the buffer the byte at `scanned` is now
   */
  private refill(scanned: number): number {
    this.addToCrc(this.base + scanned);
    const started = this.start - this.base;
    const isHeld = started >= 0 && started < scanned && this.length - started <= this.heldBytesMax;
    const keepFrom = isHeld ? started : scanned;
    this.buffer.copyWithin(0, keepFrom, this.length);
    this.base += keepFrom;
    this.length -= keepFrom;
    const room = this.buffer.length - this.length;
    const read = this.ops.read(this.fd, this.buffer, this.length, room, this.base + this.length);
    this.length += read;
    this.atEnd = read === 0;
    return scanned - keepFrom;
  }

  lines(commit: GoodCommit): Buffer | null {
    const at = commit.offset - this.base;
    if (at < 0) return readLines(this.ops, this.fd, commit);
    return withoutSeal(this.buffer.subarray(at, at + commit.bytes), commit.dataBytes);
  }

  /** The bytes after the last good commit. */
  private rest(): SegmentItem | null {
    const offset = this.start;
    const bytes = this.base + this.length - offset;
    if (bytes === 0) return null;
    const reason = this.suspect || this.uninterrupted(offset);
    return reason === '' ? { kind: 'torn', offset, bytes } : this.damaged(bytes, reason);
  }

  /** Why an interrupted write cannot have left this end of the file, or ''. */
  private uninterrupted(from: number): string {
    const end = this.base + this.length;
    // Room for a newline that may be missing.
    const tail = Buffer.alloc(Math.min(end - from, 2 * SEAL_MAX_BYTES) + 1);
    const bytes = tail.length - 1;
    if (this.ops.read(this.fd, tail, 0, bytes, end - bytes) < bytes) return '';
    if (endsLikeSeal(tail.subarray(0, bytes))) return 'its seal is not readable';
    // A write may end there by chance. Nothing is lost by treating whole lines as data.
    if (tail[bytes - 1] === NEWLINE) return 'no seal after its last line';
    tail[bytes] = NEWLINE;
    const at = tail.lastIndexOf(MARKER);
    const { seal } = this;
    if (at < 0 || seal.read(tail, at, tail.length) !== SEAL_WHOLE) return '';
    const sealOffset = end - bytes + at;
    if (sealOffset - seal.bytes !== from) return '';
    if (this.crcOfFile(from, sealOffset + seal.headBytes) !== seal.crc) return '';
    this.claimedCommit = Math.max(this.claimedCommit, seal.commit);
    return 'its final newline is missing';
  }
}

/** The metrics of a good commit: its lines without seal and stamps. Null when the seal no longer proves the bytes. */
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
  if (crc32(bytes.subarray(0, commit.dataBytes + seal.headBytes)) !== seal.crc) return null;
  return withoutSeal(bytes, commit.dataBytes);
}

function withoutSeal(bytes: Buffer, dataBytes: number): Buffer {
  bytes.write('}\n', dataBytes, 'latin1');
  return stripStamps(bytes.subarray(0, dataBytes + 2));
}

/** Checks the numbers of good commits across segments: each is one more than the one before. */
export class CommitSequence {
  /** The last good commit, or 0 before the first. */
  last = 0;
  /** The highest number so far: segments in the wrong order do not lower it. */
  highest = 0;

  /** The problem with `commit` coming next, or null. The first may be any, since retention deletes old ones. */
  follow(commit: number): string | null {
    const { last } = this;
    this.last = commit;
    this.highest = Math.max(this.highest, commit);
    if (last === 0 || commit === last + 1) return null;
    if (commit <= last) return `commit ${commit} follows commit ${last}`;
    return gapText(last + 1, commit - 1);
  }
}

/** Says that the commits from one number to another are missing. */
export function gapText(from: number, to: number): string {
  return from === to ? `commit ${from} is missing` : `commits ${from} to ${to} are missing`;
}
