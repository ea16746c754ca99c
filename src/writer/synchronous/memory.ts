/**
 * What the threads of the synchronous writer share: the open segment, and what has become of the disk.
 *
 * ```
 *  line 0      LOCK            Int32   futex lock: guards all below but UNLOCKED_LINES
 *  line 1      UNLOCKED_LINES  Int32   lines refused because the lock was not had: added by those who serve, taken
 *                                      by the writer thread
 *  lines 2–3   state           16 × Float64: the slots below
 *  lines 4–7   REASON          Int32 length, UTF-8: why commits are refused, or what failed for good
 *  lines 8–11  ROTATION        Int32 length, UTF-8: why the next segment could not be made
 *  lines 12–15 WRITE_ERROR     Int32 length, UTF-8: the code of the last write that failed for want of more than room
 *  lines 16–19 TRANSITIONS     Int32 length, UTF-8: lines of what the breaker did, not yet told: its new state and why
 * ```
 * The open segment stands here by its sequence and length; each thread opens the file for itself, since Node closes the
 * descriptors that a thread opened when the thread ends. Whether commits are taken stands in the control block (DISK),
 * written under the lock too.
 */
import { lock, unlock } from '../../base/futex-lock.ts';
import { LINE_BYTES, LINE_I32 } from '../../base/shared-memory.ts';

const LOCK = 0;
const UNLOCKED_LINES = LINE_I32;
const STATE_OFFSET_BYTES = 2 * LINE_BYTES;
const STATE_BYTES = 2 * LINE_BYTES;
const TEXT_BYTES = 4 * LINE_BYTES;
const LENGTH_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** The texts, by their offset. */
export const REASON = STATE_OFFSET_BYTES + STATE_BYTES;
export const ROTATION = REASON + TEXT_BYTES;
export const WRITE_ERROR = ROTATION + TEXT_BYTES;
export const TRANSITIONS = WRITE_ERROR + TEXT_BYTES;
const MEMORY_BYTES = TRANSITIONS + TEXT_BYTES;
export type Text = typeof REASON | typeof ROTATION | typeof WRITE_ERROR | typeof TRANSITIONS;

/** 1 from the writer thread's start to its end: nothing is stored before or after. */
export const RUNNING = 0;
/** Of the open segment; while it is 0 none is open, and the five slots behind it mean nothing. */
export const SEQUENCE = 1;
export const OPENED_MS = 2;
/** End of its last whole commit. */
export const BYTES = 3;
/** How much of it is on disk for sure. */
export const SYNCED_BYTES = 4;
export const UNSYNCED_LINES_NOW = 5;
/** When the first of those lines was written. */
export const UNSYNCED_SINCE_MS = 6;
export const NEXT_SEQUENCE = 7;
export const NEXT_COMMIT = 8;
/** A rotation that failed is not tried again before. */
export const ROTATE_AGAIN_MS = 9;
/** When free space was last looked at, and bytes to be written since. */
export const LOOKED_MS = 10;
export const BYTES_SINCE_LOOK = 11;
/** 1 after a failed sync: none of that file is believed any more. */
export const SYNC_FAILED = 12;

/**
 * Longest wait for the lock. Its holder may be in a slow sync, with others queued before this thread; but a request
 * that is not stored within its timeout (5 s unless configured) is better told so before.
 */
const LOCK_BOUND_MS = 4_000;
/** The lock is held for milliseconds here, so waiters look less often than by default. */
const LOCK_SLICE_MS = 10;

export function createSynchronousMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(MEMORY_BYTES);
}

/** One thread's view. The state and the texts are read and written while holding the lock. */
export class SynchronousMemory {
  readonly state: Float64Array;
  private readonly words: Int32Array;
  private readonly bytes: Buffer;
  /** A lock that was once not had is only tried, and not waited for, until it is had again. */
  private lockWasLost = false;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
    this.state = new Float64Array(memory, STATE_OFFSET_BYTES, STATE_BYTES / Float64Array.BYTES_PER_ELEMENT);
    this.bytes = Buffer.from(memory);
  }

  /** False when the lock could not be had within a bound. */
  lock(): boolean {
    const had = lock(this.words, LOCK, this.lockWasLost ? 0 : LOCK_BOUND_MS, LOCK_SLICE_MS);
    this.lockWasLost = !had;
    return had;
  }

  unlock(): void {
    unlock(this.words, LOCK);
  }

  addUnlockedLines(lines: number): void {
    // Pairs with the exchange in `takeUnlockedLines`.
    Atomics.add(this.words, UNLOCKED_LINES, lines);
  }

  takeUnlockedLines(): number {
    // Pairs with the add in `addUnlockedLines`.
    return Atomics.exchange(this.words, UNLOCKED_LINES, 0);
  }

  text(offset: Text): string {
    const start = offset + LENGTH_BYTES;
    return this.bytes.toString('utf8', start, start + this.words[offset / LENGTH_BYTES]!);
  }

  /** Longer texts are cut off. */
  setText(offset: Text, text: string): void {
    this.words[offset / LENGTH_BYTES] = this.bytes.write(
      text,
      offset + LENGTH_BYTES,
      TEXT_BYTES - LENGTH_BYTES,
    );
  }
}
