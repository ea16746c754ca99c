/** The valid tokens, as main sends them to the threads that check them. Holds digests only. */

/** Bytes of a SHA-256 digest. */
export const DIGEST_BYTES = 32;
/** Characters of the longest token; longer texts are refused unread. */
export const TOKEN_MAX_CHARS = 512;

/** A client: the name in the tokens file. Several tokens may share one name. */
export interface TokenClient {
  readonly name: string;
  /** Index of its counters; see `CLASSES` in telemetry/counters.ts. */
  readonly classIndex: number;
}

export interface TokenSet {
  /** SHA-256 of each token, concatenated. */
  readonly digests: Uint8Array;
  /** For each token, the index of its client in `clients`. */
  readonly clientOf: Int32Array;
  readonly clients: readonly TokenClient[];
}
