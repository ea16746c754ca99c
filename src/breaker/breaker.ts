/**
 * A circuit breaker whose state all threads share: it refuses requests early while a later stage fails.
 *
 * Source: M. Nygard, "Release It!", 2nd edition (2018), chapter 5; the sliding window and the limited trials as in
 * Resilience4j. docs/breaker.md explains the thresholds, and why this is not a library.
 *
 * ```
 *  line 0     STATE     bits 0–1 CLOSED, OPEN or HALF_OPEN; bits 2–31 the episode: transitions so far
 *  line 1     LOCK      futex lock: held for each change of lines 0, 3, 4 and 5
 *  line 2     settings  FAILURES, ERROR_PERCENT, BUCKET_MS, OPEN_MS: written once, before the threads start
 *  line 3     progress  RETRY_MS, BACKOFF, FAILED_IN_A_ROW, PERMIT_PERIOD, PERMITS_USED; counts: TO_CLOSED, TO_OPEN,
 *                       TO_HALF_OPEN, STALLS
 *  lines 4–5  window    10 buckets of NUMBER, COMMITS, FAILED
 *  line 6..   SYNCING   one line a kind of sync: when the running one started; 0: none runs
 * ```
 * All words are Int32. Each request costs one atomic load, of STATE. The rest is used once per commit, or while the breaker
 * is not closed, under the lock: state, times and window change together. Times are monotonic ms modulo 2^32, compared by
 * wrapped difference.
 */
import { lock, unlock } from '../base/futex-lock.ts';
import { LINE_BYTES, LINE_I32 } from '../base/shared-memory.ts';
import { difference } from '../base/wrapped.ts';

export const CLOSED = 0;
export const OPEN = 1;
export const HALF_OPEN = 2;
export type BreakerState = typeof CLOSED | typeof OPEN | typeof HALF_OPEN;

/** Names of the states in metrics and logs, by the state's number. */
export const STATE_NAMES = ['closed', 'open', 'half_open'] as const;

/** Kinds of sync: the writing thread waits for it, or it runs on the thread pool. */
export const FOREGROUND = 0;
export const BACKGROUND = 1;
/** A kind of sync: FOREGROUND, BACKGROUND, or the writes of one lane of the write-ahead log. */
export type SyncKind = number;
export const LANES_MAX = 64;
export const SYNC_KINDS = 2 + LANES_MAX;

/** @param lane 0 to LANES_MAX - 1 */
export function laneSync(lane: number): SyncKind {
  return 2 + lane;
}

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
const PERMITS_USED = RETRY_MS + 4;
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
const MEMORY_BYTES = (6 + SYNC_KINDS) * LINE_BYTES;

/** With fewer commits in the window, their failure rate does not open the breaker. */
export const COMMITS_MIN = 10;
/** Requests admitted per period while half open, over all threads. A trial that never reaches storage still counts. */
export const PERMITS = 5;
export const PERMIT_PERIOD_MS = 1_000;
/** The open time doubles at most this many times. */
const BACKOFF_MAX = 3;
/** The lock is held for some 50 ns, unless its holder is preempted. An outcome that does not get it is dropped. */
const LOCK_BOUND_MS = 50;
/** Requests wait less. */
const PERMIT_LOCK_BOUND_MS = 1;
/** Longest time between two checks of an open breaker, because the end of a sync wakes nobody. */
const DUE_AGAIN_MS = 100;

export interface BreakerConfig {
  /** Consecutive failures that open the breaker. */
  readonly failures: number;
  /** Percentage of failures within the window that opens the breaker. */
  readonly errorPercent: number;
  readonly windowMs: number;
  /** From opening to the first trial; doubles with each failed trial, up to 8 times as long. */
  readonly openMs: number;
}

export interface Transition {
  readonly to: BreakerState;
  /** A sentence for the log. */
  readonly reason: string;
}

export interface BreakerReading {
  readonly state: BreakerState;
  /** Number of times each state was entered, by the state's number. */
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

/** The current state and counts; the counts may lag the state by one transition. */
export function readBreaker(memory: SharedArrayBuffer): BreakerReading {
  const words = new Int32Array(memory);
  return {
    // Pairs with the store in `change`.
    state: (Atomics.load(words, STATE) & STATE_MASK) as BreakerState,
    transitions: STATE_NAMES.map((_, state) => words[TO_STATE + state]!),
    stalls: words[STALLS]!,
  };
}

/** The log line of a transition; the thread that caused it writes the line. */
export function transitionLog({ to, reason }: Transition) {
  return {
    level: to === OPEN ? ('error' as const) : ('info' as const),
    fields: { stage: 'storage', to: STATE_NAMES[to], reason },
    text: TRANSITION_TEXTS[to],
  };
}

const TRANSITION_TEXTS = [
  'the storage breaker is closed: accepting metrics again',
  'the storage breaker is open: refusing metrics until a probe of storage succeeds',
  'the storage breaker is half open: a few requests test storage',
] as const;

/** One thread's access to the breaker. Methods that change its state call `onTransition` afterwards. */
const periodOf = (nowMs: number): number => Math.floor(nowMs / PERMIT_PERIOD_MS) | 0;

export class Breaker {
  /** Called after a transition that this object caused, outside the lock. */
  onTransition: (transition: Transition) => void = () => {};
  private readonly words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
  }

  get state(): BreakerState {
    // Pairs with the store in `change`.
    return (Atomics.load(this.words, STATE) & STATE_MASK) as BreakerState;
  }

  /** Changes with every transition. Read it when a commit begins, and pass it back with the outcome. */
  get episode(): number {
    // Pairs with the store in `change`.
    return Atomics.load(this.words, STATE);
  }

  /** A commit that began in `episode` was stored. */
  succeeded(episode: number, nowMs: number): void {
    if (!this.lock()) return;
    const { words } = this;
    let closes = false;
    // An outcome from before the last transition says nothing about the current state.
    if (words[STATE] === episode) {
      words[FAILED_IN_A_ROW] = 0;
      if (this.stateNow === CLOSED) words[this.bucket(nowMs) + COMMITS]! += 1;
      closes = this.stateNow === HALF_OPEN;
      if (closes) this.close();
    }
    this.unlock();
    if (closes) this.onTransition({ to: CLOSED, reason: 'a trial commit was stored' });
  }

  /** A commit that began in `episode` could not be stored, because of `cause` (an error code, for example). */
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

  /** Opens the breaker because a sync stalls. Half-open is due as soon as no sync runs. */
  trip(reason: string, nowMs: number): void {
    if (!this.lock()) return;
    const trips = this.stateNow !== OPEN;
    if (trips) this.open(nowMs);
    this.unlock();
    if (trips) this.onTransition({ to: OPEN, reason });
  }

  /** True if the breaker is open and its open time has passed. Then probe the stage and call `tryHalfOpen` or `postpone`. */
  isDue(nowMs: number): boolean {
    return this.state === OPEN && this.openForMs(nowMs) === 0;
  }

  /** Milliseconds until the next call of `isDue`; Infinity while the breaker is not open. */
  dueInMs(nowMs: number): number {
    return this.state === OPEN ? Math.min(this.openForMs(nowMs), DUE_AGAIN_MS) : Number.POSITIVE_INFINITY;
  }

  /** Admits trials if the open time has passed. True if this call changed the state. */
  tryHalfOpen(nowMs: number): boolean {
    if (!this.isDue(nowMs) || !this.lock()) return false;
    const opens = this.stateNow === OPEN && this.openForMs(nowMs) === 0;
    if (opens) {
      this.words[PERMITS_USED] = 0;
      this.change(HALF_OPEN);
    }
    this.unlock();
    if (opens) this.onTransition({ to: HALF_OPEN, reason: 'a probe of the disk succeeded' });
    return opens;
  }

  /** A probe of the stage failed: wait for another open time. */
  postpone(nowMs: number): void {
    if (!this.lock()) return;
    if (this.stateNow === OPEN) this.words[RETRY_MS] = nowMs + this.words[OPEN_MS]!;
    this.unlock();
  }

  /**
   * Whether a request may proceed to the stage. Call it once per request, after every other check. Closed: always. Half
   * open: PERMITS in each PERMIT_PERIOD_MS, because the client of a trial may go away, and no outcome is reported then.
   */
  acquirePermit(nowMs: number): boolean {
    const { state } = this;
    if (state !== HALF_OPEN) return state === CLOSED;
    if (!lock(this.words, LOCK, PERMIT_LOCK_BOUND_MS)) return false;
    const taken = this.stateNow === HALF_OPEN ? this.useTrial(nowMs) : this.stateNow === CLOSED;
    this.unlock();
    return taken;
  }

  /** The request with a permit of `nowMs` was refused before it reached the stage: another one may have the permit. */
  returnPermit(nowMs: number): void {
    if (this.state !== HALF_OPEN || !lock(this.words, LOCK, PERMIT_LOCK_BOUND_MS)) return;
    const { words } = this;
    const isRunning = this.stateNow === HALF_OPEN && words[PERMIT_PERIOD] === periodOf(nowMs);
    if (isRunning) words[PERMITS_USED] = Math.max(0, words[PERMITS_USED]! - 1);
    this.unlock();
  }

  /** The syncing thread calls this and `syncEnded` around each sync. */
  syncBegins(kind: SyncKind, nowMs: number): void {
    // Pairs with the loads in `syncSince`.
    Atomics.store(this.words, SYNCING + kind * LINE_I32, nowMs | 0 || 1);
  }

  syncEnded(kind: SyncKind): void {
    // Pairs with the loads in `syncSince`.
    Atomics.store(this.words, SYNCING + kind * LINE_I32, 0);
  }

  /** Start time of the running sync, in wrapped ms; 0 if none runs. */
  syncSince(kind: SyncKind): number {
    // Pairs with the stores in `syncBegins` and `syncEnded`.
    return Atomics.load(this.words, SYNCING + kind * LINE_I32);
  }

  countStall(): void {
    // A plain store: only one thread watches syncs.
    this.words[STALLS]! += 1;
  }

  private lock(): boolean {
    return lock(this.words, LOCK, LOCK_BOUND_MS);
  }

  private unlock(): void {
    unlock(this.words, LOCK);
  }

  /** The state while this thread holds the lock, so that no other thread changes it. */
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
    // Earlier failures would open the breaker again at the first new one.
    this.words.fill(0, WINDOW, WINDOW + BUCKETS * BUCKET_WORDS);
    this.change(CLOSED);
  }

  /** Milliseconds that the breaker stays open at least; Infinity while a sync runs, because its end comes first. */
  private openForMs(nowMs: number): number {
    for (let kind = 0; kind < SYNC_KINDS; kind++) {
      if (this.syncSince(kind) !== 0) return Number.POSITIVE_INFINITY;
    }
    return Math.max(0, difference(this.words[RETRY_MS]!, nowMs));
  }

  private useTrial(nowMs: number): boolean {
    const { words } = this;
    const period = periodOf(nowMs);
    // The clocks of two threads may disagree about the end of a period, so periods only advance.
    if (difference(period, words[PERMIT_PERIOD]!) > 0) {
      words[PERMIT_PERIOD] = period;
      words[PERMITS_USED] = 0;
    }
    if (words[PERMITS_USED]! >= PERMITS) return false;
    words[PERMITS_USED]! += 1;
    return true;
  }

  /** Index of the bucket of `nowMs`, cleared if it held an earlier time. */
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
