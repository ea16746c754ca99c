/** Results of claiming an idempotency key. */

/** The request may go on: its key is new, and now in flight. */
export const CLAIMED = 0;
/** A request with this key and body is stored. */
export const REPLAY = 1;
export const IN_FLIGHT_ELSEWHERE = 2;
/** The key was used with another body. */
export const REUSED = 3;
/** The set's lock was not free in time, or all of its entries are in flight. */
export const NO_ENTRY = 4;
/** The secret can be neither read nor stored. */
export const NO_SECRET = 5;
export type ClaimCode =
  | typeof CLAIMED
  | typeof REPLAY
  | typeof IN_FLIGHT_ELSEWHERE
  | typeof REUSED
  | typeof NO_ENTRY
  | typeof NO_SECRET;

/** Stands for a header that is not a key. No key is this text. */
export const INVALID_KEY = '\0';
