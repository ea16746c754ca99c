/**
 * When a client sends a request again, with its key and its bytes unchanged. docs/api.md names the statuses that clients may
 * repeat; a request without an answer may be repeated because of its key.
 */
const REPEATED_STATUSES: readonly number[] = [409, 429, 503, 504];
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

export const isRepeatable = (status: number): boolean => REPEATED_STATUSES.includes(status);

/** @param retries so far @param retryAfterMs as the server asks; 0 if it does not */
export function retryPauseMs(retries: number, retryAfterMs: number): number {
  return Math.max(retryAfterMs, Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** retries));
}
