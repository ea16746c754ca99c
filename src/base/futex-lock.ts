/**
 * A lock in one Int32 word of shared memory, with a bounded wait.
 *
 * Source: U. Drepper, "Futexes Are Tricky" (2011), mutex 2: FREE, HELD, or HELD with possible waiters, so that an
 * uncontended unlock wakes nobody. Critical sections here take some 50 ns, so a short spin comes before sleeping;
 * the whole wait is bounded, because the holder may be preempted, or dead: a thread that ends while it holds the lock
 * leaves the word locked for good, and others then get `false` after the bound instead of hanging.
 */

export const FREE = 0;
const HELD = 1;
/** Held, and somebody may sleep on the word. */
const CONTENDED = 2;

/** Looks at the word before sleeping: about half a microsecond, ten critical sections. */
const SPINS = 100;
/** Unless the caller says otherwise, a sleeper looks again after this long, whether notified or not. */
const SLICE_MS = 0.25;

/**
 * What this thread met at all of its locks: acquisitions that did not find the lock free at the first look, and sleeps
 * among them. Counted off the fast path, for whoever asks whether a lock is the bottleneck.
 */
export const lockWaits = { contended: 0, slept: 0 };

/**
 * Takes the lock within about `boundMs`; false when that was not possible.
 * @param sliceMs longest sleep between two looks; longer where critical sections are, since many sleepers would look
 */
export function lock(words: Int32Array, index: number, boundMs: number, sliceMs = SLICE_MS): boolean {
  // Takes the lock; sees all that its last holder wrote, by pairing with the exchange in `unlock`.
  if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;
  return lockContended(words, index, boundMs, sliceMs);
}

function lockContended(words: Int32Array, index: number, boundMs: number, sliceMs: number): boolean {
  lockWaits.contended++;
  for (let spin = 0; spin < SPINS; spin++) {
    // A load first: it shares the cache line with the holder, where a compareExchange would pull it away.
    // Both pair with the exchange in `unlock`.
    if (Atomics.load(words, index) !== FREE) continue;
    if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;
  }
  const deadlineMs = performance.now() + boundMs;
  for (;;) {
    // Takes the lock, or announces a sleeper to the exchange in `unlock`. Tried after each wake, also the last, so
    // that a notification is never taken without either the lock or CONTENDED left behind for the next sleeper.
    if (Atomics.exchange(words, index, CONTENDED) === FREE) return true;
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) return false;
    lockWaits.slept++;
    // Pairs with the notify in `unlock`; returns at once when the word changed in between.
    Atomics.wait(words, index, CONTENDED, Math.min(leftMs, sliceMs));
  }
}

export function unlock(words: Int32Array, index: number): void {
  // Publishes the critical section to the next holder: pairs with the operations that take the lock above.
  if (Atomics.exchange(words, index, FREE) === CONTENDED) Atomics.notify(words, index, 1);
}
