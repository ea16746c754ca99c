/**
 * The memory that the threads of the synchronous writer share: the log's state, and texts for the writer thread to log.
 *
 * ```
 *  line 0      LOCK            Int32   futex lock: guards everything below except UNLOCKED_LINES
 *  line 1      UNLOCKED_LINES  Int32   lines refused because the lock was not acquired: serving threads add, the
 *                                      writer thread resets
 *  lines 2–4   state           24 × Float64: the slots below
 *  lines 5–8   REASON          Int32 length, UTF-8: why commits are refused, or what failed for good
 *  lines 9–12  ROTATION        Int32 length, UTF-8: why the next segment could not be created
 *  lines 13–16 WRITE_ERROR     Int32 length, UTF-8: code of the last write that failed, except for a full disk
 *  lines 17–20 TRANSITIONS     Int32 length, UTF-8: one line per breaker transition: its new state and the reason
 *  lines 21–24 INCIDENTS       Int32 length, UTF-8: one line per open segment that was lost: its name and how
 *  lines 25–28 RECORD_ERROR    Int32 length, UTF-8: why the log record could not be written
 *  lines 29–32 IDENTITY        Int32 length, UTF-8: id, creation time and first segment; written once
 * ```
 * The open segment is shared as its sequence and length; each thread opens the file for itself. Whether commits are
 * accepted is in the control block (DISK), also written under the lock.
 */
import { lock, unlock } from '../../base/futex-lock.ts';
import { LINE_BYTES, LINE_I32 } from '../../base/shared-memory.ts';
import type { LogState } from '../log-state.ts';

const LOCK = 0;
const UNLOCKED_LINES = LINE_I32;
const STATE_OFFSET_BYTES = 2 * LINE_BYTES;
const STATE_BYTES = 3 * LINE_BYTES;
const TEXT_BYTES = 4 * LINE_BYTES;
const LENGTH_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** The texts, by their offset. */
export const REASON = STATE_OFFSET_BYTES + STATE_BYTES;
export const ROTATION = REASON + TEXT_BYTES;
export const WRITE_ERROR = ROTATION + TEXT_BYTES;
export const TRANSITIONS = WRITE_ERROR + TEXT_BYTES;
export const INCIDENTS = TRANSITIONS + TEXT_BYTES;
export const RECORD_ERROR = INCIDENTS + TEXT_BYTES;
export const IDENTITY = RECORD_ERROR + TEXT_BYTES;
const MEMORY_BYTES = IDENTITY + TEXT_BYTES;
export type Text =
  | typeof REASON
  | typeof ROTATION
  | typeof WRITE_ERROR
  | typeof TRANSITIONS
  | typeof INCIDENTS
  | typeof RECORD_ERROR
  | typeof IDENTITY;

/** Slots of the state, in the order of the fields of `LogState`. */
const FIELDS = [
  'running',
  'sequence',
  'openedMs',
  'bytes',
  'syncedBytes',
  'unsyncedLines',
  'unsyncedSinceMs',
  'nextSequence',
  'nextCommit',
  'rotateAgainMs',
  'spaceCheckedMs',
  'bytesSinceSpaceCheck',
  'syncFailed',
  'inode',
  'abandoned',
  'dev',
  'ino',
  'recordedSegment',
  'recordedCommit',
  'durableCommit',
  'reservedCommit',
  'deletedCommit',
] as const satisfies readonly (keyof LogState)[];
const FLAGS: ReadonlySet<keyof LogState> = new Set(['running', 'syncFailed']);

/**
 * Longest wait for the lock, as a share of the time that a request may take to be stored: one that is not should be refused
 * before that. The holder may be in a slow sync, with other threads queued before this one.
 */
const LOCK_BOUND_SHARE = 0.8;
/** The lock is held for milliseconds here, so waiters check less often than by default. */
const LOCK_SLICE_MS = 10;

export function createSynchronousMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(MEMORY_BYTES);
}

/** A `LogState` whose fields are slots of `slots`. */
function sharedLogState(slots: Float64Array): LogState {
  const state = {};
  for (const [slot, field] of FIELDS.entries()) {
    const isFlag = FLAGS.has(field);
    Object.defineProperty(state, field, {
      enumerable: true,
      get: () => (isFlag ? slots[slot] === 1 : slots[slot]),
      set: (value: number | boolean) => {
        slots[slot] = Number(value);
      },
    });
  }
  return state as LogState;
}

/** One thread's view. The state and the texts are read and written while holding the lock. */
export class SynchronousMemory {
  readonly state: LogState;
  private readonly words: Int32Array;
  private readonly bytes: Buffer;
  private readonly boundMs: number;
  /** After one attempt timed out, the lock is tried without waiting until it is acquired again. */
  private timedOut = false;

  constructor(memory: SharedArrayBuffer, requestTimeoutMs: number) {
    this.boundMs = LOCK_BOUND_SHARE * requestTimeoutMs;
    this.words = new Int32Array(memory);
    const slots = STATE_BYTES / Float64Array.BYTES_PER_ELEMENT;
    this.state = sharedLogState(new Float64Array(memory, STATE_OFFSET_BYTES, slots));
    this.bytes = Buffer.from(memory);
  }

  /** False when the lock could not be acquired within a bound. */
  lock(): boolean {
    const acquired = lock(this.words, LOCK, this.timedOut ? 0 : this.boundMs, LOCK_SLICE_MS);
    this.timedOut = !acquired;
    return acquired;
  }

  unlock(): void {
    unlock(this.words, LOCK);
  }

  addUnlockedLines(lines: number): void {
    // Pairs with the exchange in `resetUnlockedLines`.
    Atomics.add(this.words, UNLOCKED_LINES, lines);
  }

  /** Returns the lines added since the last call. */
  resetUnlockedLines(): number {
    // Pairs with the add in `addUnlockedLines`.
    return Atomics.exchange(this.words, UNLOCKED_LINES, 0);
  }

  text(offset: Text): string {
    const start = offset + LENGTH_BYTES;
    return this.bytes.toString('utf8', start, start + this.words[offset / LENGTH_BYTES]!);
  }

  /** Returns the text and empties it. */
  drainText(offset: Text): string {
    const text = this.text(offset);
    if (text !== '') this.setText(offset, '');
    return text;
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
