/**
 * The parser's interface: bytes of one request body in, columns of validated metrics out.
 *
 * A parser owns its input buffer. The caller copies a body to `input[0, length)` and calls `parse`. The parser may
 * write up to INPUT_SLACK_BYTES after the body, for a sentinel. Nothing is allocated per metric: the columns have a
 * fixed size, and their values are valid until the next `parse`.
 *
 * Names, values and tags are *raw spans* of the input, still written and escaped as the client sent them, so that the
 * encoder can copy them to a line.
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

/** Values of the `timestampStart` column: the client sent no timestamp, or one in another notation than plain digits. */
export const NO_TIMESTAMP = -1;
export const FORMATTED_TIMESTAMP = -2;

/** Values of the `type` column. */
export const TYPE_GAUGE = 0;
export const TYPE_COUNTER = 1;
export const TYPE_HISTOGRAM = 2;
export const TYPE_SUMMARY = 3;

/** Struct of arrays: index k of each array belongs to accepted metric k. */
export interface MetricColumns {
  /** Number of accepted metrics. */
  count: number;
  /** The buffer that the spans index. */
  readonly input: Uint8Array;
  readonly inputView: DataView;
  readonly nameStart: Int32Array;
  readonly nameEnd: Int32Array;
  /** A number that is finite as a double. */
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly type: Uint8Array;
  /** Plain digits of Unix milliseconds. The start may also be NO_TIMESTAMP or FORMATTED_TIMESTAMP. */
  readonly timestampStart: Int32Array;
  readonly timestampEnd: Int32Array;
  /** Unix milliseconds, an integer; defined only for FORMATTED_TIMESTAMP. */
  readonly timestamp: Float64Array;
  /** The raw tags object, including its braces; start = -1 if there are no tags. */
  readonly tagsStart: Int32Array;
  readonly tagsEnd: Int32Array;
  /** 1 if the raw tags object has no white space between its tokens. */
  readonly tagsCompact: Uint8Array;
}

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
  readonly input: Uint8Array;
  readonly columns: MetricColumns;
  /** Items and invalid items of the last body; `seen = columns.count + rejected`. */
  readonly seen: number;
  readonly rejected: number;
  parse(length: number, format: BodyFormat): ParseOutcome;
  /** The first errors of the last body, at most ERRORS_MAX. It builds strings, so call it only for a response. */
  errors(): ItemError[];
  /** The reason why the last body was not PARSED. */
  failure(): ParseFailure;
}

export type CreateParser = (limits: ParserLimits) => Parser;
