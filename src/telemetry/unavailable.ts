/**
 * Every reason to refuse a request with 503. This table is the only place that lists them.
 *
 * The response text, Retry-After, the counter slot, the metric's label and the types derive from it. To add a reason,
 * add an entry here and its row to the 503 table of docs/api.md, which a test compares. Then use the name where the
 * server decides to refuse; the types reject unknown names.
 */

interface UnavailableEntry {
  /** Sentence for the client, after "Nothing was stored:" and before "Try again later." */
  readonly detail: string;
  /** Longest Retry-After in seconds. Causes that last longer ask clients to wait longer. */
  readonly retryMaxSeconds: number;
  /** Refused POSTs are counted by reason; answers of GET /ready and GET /live are not. */
  readonly isCounted: boolean;
}

export const UNAVAILABLE = {
  queue_full: {
    detail: 'Too many requests wait for storage.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  body_bytes_full: {
    detail: 'The server is receiving too many bytes of bodies.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  journal_full: {
    detail: 'The journal is full: metrics arrive faster than the server stores them.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  disk_failed: {
    detail: 'The disk does not accept data.',
    retryMaxSeconds: 5,
    isCounted: true,
  },
  draining: {
    detail: 'The server is shutting down.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  limiter_busy: {
    detail: 'The rate limiter did not answer in time.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  idempotency_full: {
    detail: 'No entry for another idempotency key is free.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  overloaded: {
    detail: 'Metrics arrive faster than the server can store them within its target delay.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  breaker_open: {
    detail: 'Storage failed too often or took too long, and now has time to recover.',
    retryMaxSeconds: 5,
    isCounted: true,
  },
  decompression_full: {
    detail: 'Too many compressed bodies wait for decompression.',
    retryMaxSeconds: 3,
    isCounted: true,
  },
  streams_full: {
    detail: 'Too many live streams are open.',
    retryMaxSeconds: 3,
    isCounted: false,
  },
  recovering: {
    detail: 'The server is starting.',
    retryMaxSeconds: 3,
    isCounted: false,
  },
} as const satisfies Readonly<Record<string, UnavailableEntry>>;

/** Why a request gets 503. */
export type UnavailableReason = keyof typeof UNAVAILABLE;

/** A reason that has a counter slot. */
export type CountedReason = {
  [Reason in UnavailableReason]: (typeof UNAVAILABLE)[Reason]['isCounted'] extends true ? Reason : never;
}[UnavailableReason];

export const UNAVAILABLE_REASONS = Object.keys(UNAVAILABLE) as UnavailableReason[];

/** In the order of their counter slots. */
export const COUNTED_REASONS = UNAVAILABLE_REASONS.filter(
  (reason): reason is CountedReason => UNAVAILABLE[reason].isCounted,
);
