/** What is known of the tokens in force, as it goes from main to the threads that check them: no token in clear. */

/** Bytes of a SHA-256 digest. */
export const DIGEST_BYTES = 32;
/** Characters of the longest token; what is longer is none. */
export const TOKEN_MAX_CHARS = 512;

/** A client class: the name that tokens stand for. Several tokens may stand for one. */
export interface TokenClient {
  readonly name: string;
  /** Index of its counters, see `CLASSES` in telemetry/counters.ts. */
  readonly classIndex: number;
}

export interface TokenSet {
  /** SHA-256 of each token, one behind the other. */
  readonly digests: Uint8Array;
  /** For each token the index of its client in `clients`. */
  readonly clientOf: Int32Array;
  readonly clients: readonly TokenClient[];
}
