/**
 * The parser's interface: bytes of one request body in, lines of validated metrics out.
 *
 * A parser owns its input buffer. The caller copies a body to `input[0, length)` and calls `parse`, then `encode` if it
 * accepts the result. The parser may write up to INPUT_SLACK_BYTES after the body, for a sentinel. Nothing is allocated
 * per metric.
 */

export interface ParserLimits {
  readonly maxBodyBytes: number;
  /** Maximum items per body; a body with more is BATCH_TOO_LARGE. */
  readonly maxBatch: number;
}

/** Upper bound of `maxBodyBytes`; `input-buffer.ts` states its cost. */
export const BODY_CEILING_BYTES = 64 << 20;
/** Upper bound of `maxBatch`. */
export const BATCH_CEILING = 1 << 17;

/** Bytes of a parser's input after `maxBodyBytes`. */
export const INPUT_SLACK_BYTES = 64;

/** The contract's fixed rules. */
export const NAME_MAX_BYTES = 255;
export const TAGS_MAX = 64;
export const DEPTH_MAX = 64;
/** Maximum errors listed in a response. */
export const ERRORS_MAX = 10;

export const FORMAT_JSON = 0;
export const FORMAT_NDJSON = 1;
export type BodyFormat = typeof FORMAT_JSON | typeof FORMAT_NDJSON;

export const PARSED = 0;
/** Not JSON by RFC 8259, or `metrics` is missing, given twice or not an array: see `failure`. Store nothing. */
export const MALFORMED = 1;
/** More than `maxBatch` items. Store nothing. */
export const BATCH_TOO_LARGE = 2;
export type ParseOutcome = typeof PARSED | typeof MALFORMED | typeof BATCH_TOO_LARGE;

/** An invalid item of a well-formed body. */
export interface ItemError {
  readonly index: number;
  /** Byte offset in the body. */
  readonly offset: number;
  readonly field: string;
  readonly reason: string;
}

export interface ParseFailure {
  readonly offset: number;
  readonly field: string;
  readonly reason: string;
}

export interface Parser {
  /** Where the caller puts a body. */
  readonly input: Uint8Array;
  /** Items of the last body, the valid and the invalid ones: `seen = accepted + rejected`. */
  readonly seen: number;
  readonly accepted: number;
  readonly rejected: number;
  /**
   * Parses the body in `input[0, length)`.
   * @param receiptMs Unix milliseconds, an integer: the timestamp of metrics that have none
   * @param offset of the call of `encode` that will follow; an implementation may align its lines to it
   */
  parse(length: number, format: BodyFormat, receiptMs: number, offset: number): ParseOutcome;
  /**
   * Writes the accepted metrics of the last body, which must be PARSED, as lines.
   * @param bytes, view the same memory; `encodedBodyBound` bytes from `offset` on may be written
   * @returns the offset after the last line
   */
  encode(bytes: Uint8Array, view: DataView, offset: number): number;
  /** Counts the accepted metrics of each type of the last body, by its code, into `counts`. */
  countTypes(counts: Int32Array): void;
  /** The first errors of the last body, at most ERRORS_MAX. It builds strings, so call it only for a response. */
  errors(): ItemError[];
  /** The reason why the last body was not PARSED. */
  failure(): ParseFailure;
}

export type CreateParser = (limits: ParserLimits) => Parser;

/** An implementation of the parser slot. */
export interface ParserModule {
  readonly createParser: CreateParser;
  /** Set if this implementation cannot run on this thread, so that `createParser` is that of another: the reason. */
  readonly unavailable?: string | null;
}
