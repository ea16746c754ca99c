/**
 * A lock in one Int32 word of shared memory, with a bounded wait.
 *
 * Source: U. Drepper, "Futexes Are Tricky" (2011), mutex 2: FREE, HELD, or HELD with possible waiters, so that an
 * uncontended unlock wakes nobody. Critical sections here last some 50 ns, so a waiter spins briefly before it sleeps. The
 * wait is bounded, because the holder may be preempted or dead. A thread that ends while it holds the lock leaves the word
 * locked for ever; others then get `false` after the bound instead of hanging.
 */

export const FREE = 0;
const HELD = 1;
/** Held, and a waiter may sleep on the word. */
const CONTENDED = 2;

/** Loads of the word before sleeping: about half a microsecond, ten critical sections. */
const SPINS = 100;
/** Default for the longest sleep before a waiter tries again, notified or not. */
const SLICE_MS = 0.25;

/**
 * Contention of this thread over all of its locks: acquisitions that did not find the lock free at once, and sleeps among
 * them. Counted off the fast path; benchmarks read it to see whether a lock is the bottleneck.
 */
export const lockWaits = { contended: 0, slept: 0 };

/**
 * Acquires the lock within about `boundMs`; false if it could not.
 * @param sliceMs longest sleep between two attempts; raise it for long critical sections with many waiters
 */
export function lock(words: Int32Array, index: number, boundMs: number, sliceMs = SLICE_MS): boolean {
  //> 4.1 one thread at a time
  //: return true;
  // Acquires the lock. Pairs with the exchange in `unlock`: sees everything that the last holder wrote.
  if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;
  return lockContended(words, index, boundMs, sliceMs);
  //<
}

function lockContended(words: Int32Array, index: number, boundMs: number, sliceMs: number): boolean {
  lockWaits.contended++;
  //> 4.2 try until it is free
  //: return false;
  for (let spin = 0; spin < SPINS; spin++) {
    // Load first: it shares the cache line with the holder, while a compareExchange would take the line away.
    // Both pair with the exchange in `unlock`.
    if (Atomics.load(words, index) !== FREE) continue;
    if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;
  }
  const deadlineMs = performance.now() + boundMs;
  for (;;) {
    // Acquires the lock, or announces a sleeper to the exchange in `unlock`. Runs after each wake, also the last one: a
    // waiter that consumed a notification either gets the lock or leaves CONTENDED behind for the next sleeper.
    //> 4.3 announce that you will sleep
    //: if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;
    if (Atomics.exchange(words, index, CONTENDED) === FREE) return true;
    //<
    //> 4.4 give up in time
    //: const leftMs = deadlineMs;
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) return false;
    //<
    lockWaits.slept++;
    //> 4.3 sleep
    //: Atomics.wait(words, index, HELD, Math.min(leftMs, sliceMs));
    // Pairs with the notify in `unlock`. Returns at once if the word has changed since the exchange.
    Atomics.wait(words, index, CONTENDED, Math.min(leftMs, sliceMs));
    //<
  }
  //<
}

export function unlock(words: Int32Array, index: number): void {
  //> 4.1 publish the critical section
  //: words[index] = FREE;
  //> 4.3 wake a sleeper
  //: Atomics.store(words, index, FREE);
  // Publishes the critical section to the next holder. Pairs with the operations that acquire the lock above.
  if (Atomics.exchange(words, index, FREE) === CONTENDED) Atomics.notify(words, index, 1);
  //<
  //<
}
