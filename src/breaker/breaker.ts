/**
 * A circuit breaker whose state is shared by all threads: it stops requests at the door while a stage behind it fails.
 *
 * Source: M. Nygard, "Release It!", 2nd edition (2018), chapter 5; the sliding window and the limited trials as in
 * Resilience4j. docs/breaker.md tells of thresholds, and why no library.
 *
 * ```
 *  line 0     STATE     bits 0–1 CLOSED, OPEN or HALF_OPEN; bits 2–31 the episode: transitions so far
 *  line 1     LOCK      futex lock: whoever changes anything in lines 0, 3, 4 and 5 holds it
 *  line 2     settings  FAILURES, ERROR_PERCENT, BUCKET_MS, OPEN_MS: written once, before the threads start
 *  line 3     progress  RETRY_MS, BACKOFF, FAILED_IN_A_ROW, PERMIT_PERIOD, PERMITS_TAKEN; counts: TO_CLOSED, TO_OPEN,
 *                       TO_HALF_OPEN, STALLS
 *  lines 4–5  window    10 buckets of NUMBER, COMMITS, FAILED
 *  line 6, 7  SYNCING   when the sync that runs in the foreground, in the background began; 0: none does
 * ```
 * All words are Int32. STATE is what every request asks for: one atomic load. The rest is touched once a commit, or
 * while not closed, under the lock, so that state, times and window change together. Times are monotonic ms modulo 2^32
 * and compared by wrapped difference.
 */
import { lock, unlock } from '../base/futex-lock.ts';
import { LINE_BYTES, LINE_I32 } from '../base/shared-memory.ts';
import { difference } from '../base/wrapped.ts';

export const CLOSED = 0;
export const OPEN = 1;
export const HALF_OPEN = 2;
export type BreakerState = typeof CLOSED | typeof OPEN | typeof HALF_OPEN;

/** Names of the states, by their number, as in metrics and logs. */
export const STATE_NAMES = ['closed', 'open', 'half_open'] as const;

/** Which sync is meant: one that the writing thread waits for, or one on the thread pool beside it. */
export const FOREGROUND = 0;
export const BACKGROUND = 1;
export type SyncKind = typeof FOREGROUND | typeof BACKGROUND;

const STATE = 0;
const STATE_BITS = 2;
const STATE_MASK = (1 << STATE_BITS) - 1;
const LOCK = LINE_I32;

const FAILURES = 2 * LINE_I32;
const ERROR_PERCENT = FAILURES + 1;
const BUCKET_MS = FAILURES + 2;
const OPEN_MS = FAILURES + 3;

const RETRY_MS = 3 * LINE_I32;
const BACKOFF = RETRY_MS + 1;
const FAILED_IN_A_ROW = RETRY_MS + 2;
const PERMIT_PERIOD = RETRY_MS + 3;
const PERMITS_TAKEN = RETRY_MS + 4;
/** By state: TO_CLOSED, TO_OPEN, TO_HALF_OPEN. */
const TO_STATE = RETRY_MS + 5;
const STALLS = TO_STATE + STATE_NAMES.length;

const WINDOW = 4 * LINE_I32;
const BUCKETS = 10;
const BUCKET_WORDS = 3;
const NUMBER = 0;
const COMMITS = 1;
const FAILED = 2;

const SYNCING = 6 * LINE_I32;
const MEMORY_BYTES = 8 * LINE_BYTES;

/** A failure rate is judged from this many commits on. */
export const COMMITS_MIN = 10;
/** Requests let through while half open, in all threads, every so often: those that come to nothing use one up too. */
export const PERMITS = 5;
export const PERMIT_PERIOD_MS = 1_000;
/** The open time doubles this often at most. */
const BACKOFF_MAX = 3;
/** The lock is held for some 50 ns; its holder may be preempted meanwhile. An outcome that does not get it is dropped. */
const LOCK_BOUND_MS = 50;
/** A request does not wait that long. */
const PERMIT_LOCK_BOUND_MS = 1;
/** While it is open it is looked at this often at least, since the end of a sync wakes nobody. */
const DUE_AGAIN_MS = 100;

export interface BreakerConfig {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** Percentage of failures within the window that opens it. */
  readonly errorPercent: number;
  readonly windowMs: number;
  /** From opening to the first trial; doubles with each trial that fails, up to 8 times as long. */
  readonly openMs: number;
}

export interface Transition {
  readonly to: BreakerState;
  /** For people. */
  readonly reason: string;
}

export interface BreakerReading {
  readonly state: BreakerState;
  /** How often each state was entered, by the state's number. */
  readonly transitions: readonly number[];
  /** Syncs that took longer than their timeout. */
  readonly stalls: number;
}

export function createBreakerMemory(config: BreakerConfig): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(MEMORY_BYTES);
  const words = new Int32Array(memory);
  words[FAILURES] = config.failures;
  words[ERROR_PERCENT] = config.errorPercent;
  words[BUCKET_MS] = Math.ceil(config.windowMs / BUCKETS);
  words[OPEN_MS] = config.openMs;
  return memory;
}

/** What the breaker shows, as it stands; the counts may be a transition behind the state. */
export function readBreaker(memory: SharedArrayBuffer): BreakerReading {
  const words = new Int32Array(memory);
  return {
    // Pairs with the store in `change`.
    state: (Atomics.load(words, STATE) & STATE_MASK) as BreakerState,
    transitions: STATE_NAMES.map((_, state) => words[TO_STATE + state]!),
    stalls: words[STALLS]!,
  };
}

/** What is logged of a transition, by whichever thread made it. */
export function transitionLog({ to, reason }: Transition) {
  return {
    level: to === OPEN ? ('error' as const) : ('info' as const),
    fields: { stage: 'storage', to: STATE_NAMES[to], reason },
    text: TRANSITION_TEXTS[to],
  };
}

const TRANSITION_TEXTS = [
  'the storage breaker is closed: metrics are taken again',
  'the storage breaker is open: refusing metrics until storage is tried again',
  'the storage breaker is half open: a few requests try storage',
] as const;

/** One thread's hand on the breaker. Methods that change its state tell `onTransition` when they did. */
export class Breaker {
  /** Called after a transition that this object made, outside the lock. */
  onTransition: (transition: Transition) => void = () => {};
  private readonly words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
  }

  get state(): BreakerState {
    // Pairs with the store in `change`.
    return (Atomics.load(this.words, STATE) & STATE_MASK) as BreakerState;
  }

  /** Changes with every transition: to be read when a commit begins, and given back with its outcome. */
  get episode(): number {
    // Pairs with the store in `change`.
    return Atomics.load(this.words, STATE);
  }

  /** A commit that began in `episode` was stored. */
  succeeded(episode: number, nowMs: number): void {
    if (!this.lock()) return;
    const { words } = this;
    let closes = false;
    // What began before the last transition says nothing about now.
    if (words[STATE] === episode) {
      words[FAILED_IN_A_ROW] = 0;
      if (this.stateNow === CLOSED) words[this.bucket(nowMs) + COMMITS]! += 1;
      closes = this.stateNow === HALF_OPEN;
      if (closes) this.close();
    }
    this.unlock();
    if (closes) this.onTransition({ to: CLOSED, reason: 'a trial commit was stored' });
  }

  /** A commit that began in `episode` could not be stored, for the `cause` given (an error code, say). */
  failed(episode: number, nowMs: number, cause: string): void {
    if (!this.lock()) return;
    const { words } = this;
    let reason: string | null = null;
    if (words[STATE] === episode) {
      words[FAILED_IN_A_ROW]! += 1;
      if (this.stateNow === CLOSED) {
        const bucket = this.bucket(nowMs);
        words[bucket + COMMITS]! += 1;
        words[bucket + FAILED]! += 1;
        reason = this.tooManyFailures(nowMs);
        if (reason !== null) this.open(nowMs + words[OPEN_MS]!);
      } else if (this.stateNow === HALF_OPEN) {
        reason = 'a trial commit failed';
        words[BACKOFF] = Math.min(BACKOFF_MAX, words[BACKOFF]! + 1);
        this.open(nowMs + words[OPEN_MS]! * 2 ** words[BACKOFF]!);
      }
    }
    this.unlock();
    if (reason !== null) this.onTransition({ to: OPEN, reason: `${reason}: ${cause}` });
  }

  /** Opens it from outside: a sync stalls. It is due for half-open as soon as no sync runs any more. */
  trip(reason: string, nowMs: number): void {
    if (!this.lock()) return;
    const trips = this.stateNow !== OPEN;
    if (trips) this.open(nowMs);
    this.unlock();
    if (trips) this.onTransition({ to: OPEN, reason });
  }

  /** True when it is open and its open time is over: the stage is to be probed, then `tryHalfOpen` or `postpone`. */
  isDue(nowMs: number): boolean {
    return this.state === OPEN && this.openForMs(nowMs) === 0;
  }

  /** Ms until `isDue` is worth asking again; infinite while it is not open. */
  dueInMs(nowMs: number): number {
    return this.state === OPEN ? Math.min(this.openForMs(nowMs), DUE_AGAIN_MS) : Number.POSITIVE_INFINITY;
  }

  /** Lets trials through if the open time is over. True when this call did. */
  tryHalfOpen(nowMs: number): boolean {
    if (!this.isDue(nowMs) || !this.lock()) return false;
    const opens = this.stateNow === OPEN && this.openForMs(nowMs) === 0;
    if (opens) {
      this.words[PERMITS_TAKEN] = 0;
      this.change(HALF_OPEN);
    }
    this.unlock();
    if (opens) this.onTransition({ to: HALF_OPEN, reason: 'the disk takes a probe' });
    return opens;
  }

  /** The stage does not even take a probe: another open time passes before the next. */
  postpone(nowMs: number): void {
    if (!this.lock()) return;
    if (this.stateNow === OPEN) this.words[RETRY_MS] = nowMs + this.words[OPEN_MS]!;
    this.unlock();
  }

  /**
   * Whether a request may go on to the stage; to be asked last, once a request. Closed: always. Half open: PERMITS
   * each PERMIT_PERIOD_MS, since a request may still be refused elsewhere, and its permit must not be missed.
   */
  takePermit(nowMs: number): boolean {
    const { state } = this;
    if (state !== HALF_OPEN) return state === CLOSED;
    if (!lock(this.words, LOCK, PERMIT_LOCK_BOUND_MS)) return false;
    const taken = this.stateNow === HALF_OPEN ? this.takeTrial(nowMs) : this.stateNow === CLOSED;
    this.unlock();
    return taken;
  }

  /** The thread that syncs: around each sync. */
  syncBegins(kind: SyncKind, nowMs: number): void {
    // Pairs with the loads in `syncSince`.
    Atomics.store(this.words, SYNCING + kind * LINE_I32, nowMs | 0 || 1);
  }

  syncEnded(kind: SyncKind): void {
    // Pairs with the loads in `syncSince`.
    Atomics.store(this.words, SYNCING + kind * LINE_I32, 0);
  }

  /** When the sync that runs now began, in wrapped ms; 0 when none does. */
  syncSince(kind: SyncKind): number {
    // Pairs with the stores in `syncBegins` and `syncEnded`.
    return Atomics.load(this.words, SYNCING + kind * LINE_I32);
  }

  countStall(): void {
    // One thread watches syncs, and nobody decides by this count.
    this.words[STALLS]! += 1;
  }

  private lock(): boolean {
    return lock(this.words, LOCK, LOCK_BOUND_MS);
  }

  private unlock(): void {
    unlock(this.words, LOCK);
  }

  /** Under the lock: the state, which nobody else changes now. */
  private get stateNow(): BreakerState {
    return (this.words[STATE]! & STATE_MASK) as BreakerState;
  }

  private change(to: BreakerState): void {
    const episode = (this.words[STATE]! >>> STATE_BITS) + 1;
    this.words[TO_STATE + to]! += 1;
    // Publishes the transition to `state`, `episode` and `readBreaker`.
    Atomics.store(this.words, STATE, (episode << STATE_BITS) | to);
  }

  private open(retryMs: number): void {
    this.words[RETRY_MS] = retryMs;
    this.change(OPEN);
  }

  private close(): void {
    this.words[BACKOFF] = 0;
    // What failed before would open it again at the first failure.
    this.words.fill(0, WINDOW, WINDOW + BUCKETS * BUCKET_WORDS);
    this.change(CLOSED);
  }

  /** Ms that it stays open at least; infinite while a sync runs, whose end is awaited first. */
  private openForMs(nowMs: number): number {
    for (const kind of [FOREGROUND, BACKGROUND] as const) {
      if (this.syncSince(kind) !== 0) return Number.POSITIVE_INFINITY;
    }
    return Math.max(0, difference(this.words[RETRY_MS]!, nowMs));
  }

  private takeTrial(nowMs: number): boolean {
    const { words } = this;
    const period = Math.floor(nowMs / PERMIT_PERIOD_MS) | 0;
    // Threads' clocks may disagree about the moment of a period's end: it only goes forward.
    if (difference(period, words[PERMIT_PERIOD]!) > 0) {
      words[PERMIT_PERIOD] = period;
      words[PERMITS_TAKEN] = 0;
    }
    if (words[PERMITS_TAKEN]! >= PERMITS) return false;
    words[PERMITS_TAKEN]! += 1;
    return true;
  }

  /** Index of the bucket of `nowMs`, emptied when it held an earlier time. */
  private bucket(nowMs: number): number {
    const { words } = this;
    const number = Math.floor(nowMs / words[BUCKET_MS]!) | 0;
    const bucket = WINDOW + (number % BUCKETS) * BUCKET_WORDS;
    if (words[bucket + NUMBER] !== number) {
      words[bucket + NUMBER] = number;
      words[bucket + COMMITS] = words[bucket + FAILED] = 0;
    }
    return bucket;
  }

  private tooManyFailures(nowMs: number): string | null {
    const { words } = this;
    const inARow = words[FAILED_IN_A_ROW]!;
    if (inARow >= words[FAILURES]!) return `${inARow} commits in a row failed, the last`;
    const number = Math.floor(nowMs / words[BUCKET_MS]!) | 0;
    let commits = 0;
    let failed = 0;
    for (let bucket = WINDOW; bucket < WINDOW + BUCKETS * BUCKET_WORDS; bucket += BUCKET_WORDS) {
      const age = difference(number, words[bucket + NUMBER]!);
      if (age < 0 || age >= BUCKETS) continue;
      commits += words[bucket + COMMITS]!;
      failed += words[bucket + FAILED]!;
    }
    if (commits < COMMITS_MIN || failed * 100 < commits * words[ERROR_PERCENT]!) return null;
    return `${failed} of the last ${commits} commits failed, the last`;
  }
}
