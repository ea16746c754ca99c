/**
 * Admission of one worker: what is handed to storage is marked with its time and depth, and each mark that storage
 * has passed is a measurement for the limit.
 *
 * A mark is made once a turn of the event loop, when the turn's journal is published, so a request costs a comparison
 * or two. Marks that find no slot are left out: the next one measures as well.
 */
import { AdaptiveLimit } from './adaptive-limit.ts';

const MARKS = 256;
const MARK_MASK = MARKS - 1;

export class Admission {
  readonly limit: AdaptiveLimit;
  private readonly cursors = new Int32Array(MARKS);
  private readonly handedMs = new Float64Array(MARKS);
  private readonly depths = new Float64Array(MARKS);
  private head = 0;
  private tail = 0;
  private storedMs = Number.NEGATIVE_INFINITY;

  /** @param mostBytes the static bound of what is in flight */
  constructor(targetMs: number, mostBytes: number) {
    this.limit = new AdaptiveLimit(targetMs, mostBytes);
  }

  admits(usedBytes: number, nowMs: number): boolean {
    return this.limit.admits(usedBytes, this.headAgeMs(nowMs), nowMs);
  }

  /** How long the oldest that was handed over has waited; 0 when nothing is. */
  private headAgeMs(nowMs: number): number {
    return this.head === this.tail ? 0 : nowMs - this.handedMs[this.head & MARK_MASK]!;
  }

  /** The delay of storage now: as last measured, longer where something waits longer; 0 after `staleMs` of silence. */
  delayMs(nowMs: number, staleMs: number): number {
    const measuredMs = nowMs - this.storedMs < staleMs ? this.limit.delayMs : 0;
    return Math.max(measuredMs, this.headAgeMs(nowMs));
  }

  /** @param cursor what storage has to pass  @param depthBytes in flight, this included */
  handedOver(cursor: number, depthBytes: number, nowMs: number): void {
    if (this.tail - this.head === MARKS) return;
    const slot = this.tail & MARK_MASK;
    this.cursors[slot] = cursor;
    this.handedMs[slot] = nowMs;
    this.depths[slot] = depthBytes;
    this.tail++;
  }

  /**
   * @param storedCursor what storage has passed, at `storedMs`
   * @param fixedMs what a commit costs whatever its size, as far as it is known
   * @param shareBytesPerMs what storage takes, divided by the workers
   */
  stored(
    storedCursor: number,
    storedMs: number,
    fixedMs: number,
    shareBytesPerMs: number,
    nowMs: number,
  ): void {
    let marks = 0;
    let delaysMs = 0;
    let deepest = 0;
    while (this.head !== this.tail) {
      const slot = this.head & MARK_MASK;
      if (((storedCursor - this.cursors[slot]!) | 0) < 0) break;
      marks++;
      delaysMs += Math.max(0, storedMs - this.handedMs[slot]!);
      deepest = Math.max(deepest, this.depths[slot]!);
      this.head++;
    }
    if (marks === 0) return;
    this.storedMs = storedMs;
    this.limit.measured(delaysMs / marks, deepest, fixedMs, shareBytesPerMs, nowMs);
  }
}
