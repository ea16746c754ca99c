/**
 * Shapes of a check: a scenario runs the functions of a few modelled threads over shared memory whose bytes have names.
 */

/** Bytes of a shared memory with one meaning. */
export interface Field {
  readonly name: string;
  readonly byte: number;
  readonly bytes: number;
  /** The reason why any two accesses to this field may be unordered. Plain accesses become points of interleaving. */
  readonly unordered?: string;
  /** The same for plain loads beside atomic operations; a plain store is reported. */
  readonly unorderedLoads?: string;
  /**
   * The reason why reads by the threads in `lateReaders` may be unordered; any other pair is still reported. These reads
   * become points of interleaving.
   */
  readonly late?: string;
  readonly lateReaders?: readonly string[];
}

/** The fields of one memory. An access outside all of them is reported by its byte. */
export type Layout = readonly Field[];

interface WatchedMemory {
  readonly memory: SharedArrayBuffer;
  readonly layout: Layout;
}

/** A modelled thread's access to the checker. */
export interface ThreadContext {
  /** Reports `sentence` if the condition does not hold. */
  expect(holds: boolean, sentence: string): void;
  /** Ends a turn of the event loop: sleeps until an `Atomics.waitAsync` of this thread settles, then runs its callbacks. */
  turn(): void;
  /**
   * Sleeps until another thread has stored something since the last call. For a thread that polls: unlike a wait on a
   * word, it orders nothing.
   */
  idle(): void;
}

/**
 * The code of a thread. The checker pauses it before an atomic operation by an exception, and later runs it again from
 * its start with the results of its earlier operations. So it creates its own objects, is synchronous, and does not
 * depend on time or chance.
 */
export type ThreadBody = (context: ThreadContext) => unknown;

export interface Prepared {
  readonly memories: readonly WatchedMemory[];
  /** By the name that reports show, at most 8. */
  readonly threads: Readonly<Record<string, ThreadBody>>;
  /** By thread, those that have ended before it starts; their end happens before its start. */
  readonly after?: Readonly<Record<string, readonly string[]>>;
  /** Throws if the memory violates an invariant; called between any two atomic operations, and not itself checked. */
  check?(): void;
  /** Throws if the results of the threads, by name, are wrong. */
  checkEnd?(results: Readonly<Record<string, unknown>>): void;
}

export interface Scenario<Modules> {
  readonly name: string;
  /** Creates the memory and the threads; called once for each interleaving. Its accesses happen before every thread. */
  prepare(modules: Modules): Prepared;
  /** Timed waits that may time out in one interleaving; default 0, so that a lost wake-up is a thread that sleeps for ever. */
  readonly timeouts?: number;
  /** Atomic operations of one thread between two sleeps before it counts as spinning; default 300. */
  readonly operationsMax?: number;
}

/** A place in the source. */
export interface Place {
  /** Relative to the working directory if it is inside it. */
  readonly file: string;
  readonly line: number;
}

export interface AccessReport {
  readonly thread: string;
  readonly verb: 'reads' | 'writes';
  /** For example `plain store` or `Atomics.load`. */
  readonly how: string;
  /** Name from the layout, with the bytes if the field is larger than the access. */
  readonly word: string;
  readonly place: Place | null;
}

/** Two accesses to common bytes, at least one of them a plain one and one a write, that nothing orders. */
export interface Race {
  readonly first: AccessReport;
  readonly second: AccessReport;
  /** The finding in words, in three lines. */
  readonly text: string;
}

/** Any other finding: a thread that nobody wakes or that never sleeps, a violated invariant, an exception. */
export interface Failure {
  readonly kind: 'asleep' | 'spinning' | 'invariant' | 'exception';
  readonly place: Place | null;
  readonly text: string;
}

export interface Report {
  readonly races: readonly Race[];
  readonly failures: readonly Failure[];
  /** Orders that were run; they stand for all others that differ only in independent operations. */
  readonly interleavings: number;
  /** Distinct states that they passed. */
  readonly states: number;
  /** False if the limit of executions ended the exploration; then the seed repeats the random part. */
  readonly isExhaustive: boolean;
  readonly seed: number;
  readonly seconds: number;
  /** Names of the fields whose bytes an atomic operation touched. */
  readonly atomicFields: readonly string[];
}
