/** Storing while the thread waits, for dispatchers that serve one request at a time in a thread. */

import type { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import { difference } from '../base/wrapped.ts';
import type { Journal, Outcome } from '../journal/journal.ts';

/**
 * Publishes what is committed and blocks this thread until the lines up to `cursor` are settled.
 * @returns null when they were not within `timeoutMs`; they may still be stored later
 */
export function storeNow(journal: Journal, cursor: number, bell: Bell, timeoutMs: number): Outcome | null {
  if (journal.publish()) bell.ring();
  const deadlineMs = monotonicMs() + timeoutMs;
  for (;;) {
    const stored = journal.storedCursor();
    if (difference(stored, cursor) >= 0) return journal.outcome(cursor);
    const leftMs = deadlineMs - monotonicMs();
    if (leftMs <= 0) return null;
    journal.blockUntilStored(stored, leftMs);
  }
}
