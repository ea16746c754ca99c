/**
 * One commit in memory: views of the journal rings in order, and the seal that replaces the end of the last line.
 *
 * It copies no bytes. It joins runs that touch in a ring, so a ring adds one or two views to a commit. The list and the
 * seal's buffer are reused for every commit.
 */

import { combineCrc, crcWithout } from '../base/crc-combine.ts';
import { crc32 } from '../base/crc32.ts';
import { LINE_END_BYTES, SEAL_MAX_BYTES, writeSealHead, writeSealTail } from './seal.ts';

/** The CRC of a piece is not known. */
const UNKNOWN = -1;
/** From here on, combining two CRCs costs less than reading the bytes. */
const COMBINE_BYTES = 4096;

export class CommitBuffer {
  /** The pieces of the commit; after `seal` the last one is the seal. */
  readonly pieces: Uint8Array[] = [];
  lines = 0;
  /** Bytes of all pieces. */
  bytes = 0;
  private readonly sealText = Buffer.alloc(SEAL_MAX_BYTES);
  /** The ring whose runs are being joined, and the range so far. */
  private ring: Uint8Array | null = null;
  private start = 0;
  private end = 0;
  /** CRC of that range, and of each piece. */
  private crc = UNKNOWN;
  private readonly crcs: number[] = [];

  clear(): void {
    this.pieces.length = 0;
    this.crcs.length = 0;
    this.lines = 0;
    this.bytes = 0;
    this.ring = null;
  }

  /**
   * Adds `ring[offset, offset + bytes)`, whole lines; the memory is read when the commit is written.
   * @param crc of these bytes, if it is known: then `seal` does not read them
   */
  add(ring: Uint8Array, offset: number, bytes: number, lines: number, crc = UNKNOWN): void {
    if (ring === this.ring && offset === this.end) {
      this.end += bytes;
      this.crc = UNKNOWN;
    } else {
      this.closeRange(0);
      this.ring = ring;
      this.start = offset;
      this.end = offset + bytes;
      this.crc = crc;
    }
    this.lines += lines;
    this.bytes += bytes;
  }

  private closeRange(dropBytes: number): void {
    const { ring, crc } = this;
    if (ring === null) return;
    const end = this.end - dropBytes;
    this.pieces.push(ring.subarray(this.start, end));
    this.crcs.push(crc === UNKNOWN ? UNKNOWN : crcWithout(crc, ring.subarray(end, this.end)));
    this.ring = null;
  }

  /**
   * Ends the commit with its seal. Needs at least one line.
   * @param mark where the lines come from, for recovery; see seal.ts
   */
  seal(commit: number, mark = ''): void {
    this.closeRange(LINE_END_BYTES);
    const dataBytes = this.bytes - LINE_END_BYTES;
    const headBytes = writeSealHead(this.sealText, commit, dataBytes, this.lines, mark);
    let crc = 0;
    for (let i = 0; i < this.pieces.length; i++) {
      const piece = this.pieces[i]!;
      const known = this.crcs[i]!;
      const isCombined = known !== UNKNOWN && piece.length >= COMBINE_BYTES;
      crc = isCombined ? combineCrc(crc, known, piece.length) : crc32(piece, crc);
    }
    crc = crc32(this.sealText.subarray(0, headBytes), crc);
    const sealBytes = writeSealTail(this.sealText, headBytes, crc);
    this.pieces.push(this.sealText.subarray(0, sealBytes));
    this.bytes = dataBytes + sealBytes;
  }
}
