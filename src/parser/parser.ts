/**
 * The parser's face: bytes of one request body in, columns of validated metrics out.
 *
 * A parser owns its input buffer. The caller copies a body to `input[0, length)` and calls `parse`; the parser may
 * write up to INPUT_SLACK_BYTES behind it (sentinel). Nothing is allocated per metric: columns are sized once from
 * the limits, and every value in them holds until the next `parse`.
 *
 * Strings are *raw spans* of the input, between their quotes and still escaped as the client wrote them: what was
 * validated can be copied to a line as it is.
 */

export interface ParserLimits {
  readonly maxBodyBytes: number;
  /** Most items in one body; more is BATCH_TOO_LARGE. */
  readonly maxBatch: number;
}

/** `maxBodyBytes` may not exceed this; see `input-buffer.ts` for what it costs. */
export const BODY_CEILING_BYTES = 64 << 20;
/** `maxBatch` may not exceed this. */
export const BATCH_CEILING = 1 << 17;

/** Bytes that a parser's input has behind `maxBodyBytes`. */
export const INPUT_SLACK_BYTES = 64;

/** The contract's fixed rules. */
export const NAME_MAX_BYTES = 255;
export const TAGS_MAX = 64;
export const DEPTH_MAX = 64;
/** Errors listed in an answer. */
export const ERRORS_MAX = 10;

export const FORMAT_JSON = 0;
export const FORMAT_NDJSON = 1;
export type BodyFormat = typeof FORMAT_JSON | typeof FORMAT_NDJSON;

export const PARSED = 0;
/** Not JSON by RFC 8259, `metrics` missing or given twice or no array: see `failure`. Nothing may be stored. */
export const MALFORMED = 1;
/** More than `maxBatch` items. Nothing may be stored. */
export const BATCH_TOO_LARGE = 2;
export type ParseOutcome = typeof PARSED | typeof MALFORMED | typeof BATCH_TOO_LARGE;

/** Metric types as stored in the `type` column. */
export const TYPE_GAUGE = 0;
export const TYPE_COUNTER = 1;
export const TYPE_HISTOGRAM = 2;
export const TYPE_SUMMARY = 3;

/** Struct of arrays; item k of the accepted metrics stands at index k of each. */
export interface MetricColumns {
  /** Metrics that passed every rule. */
  count: number;
  /** The body the spans index. */
  readonly input: Uint8Array;
  readonly inputView: DataView;
  readonly nameStart: Int32Array;
  readonly nameEnd: Int32Array;
  /** The nearest double, finite. */
  readonly value: Float64Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly type: Uint8Array;
  /** Unix milliseconds, an integer; NaN where the client gave none. */
  readonly timestamp: Float64Array;
  /** The raw digits; start = -1 where there is no timestamp or it is not written as plain digits. */
  readonly timestampStart: Int32Array;
  readonly timestampEnd: Int32Array;
  /** The raw tags object with its braces; start = -1 where there are none. */
  readonly tagsStart: Int32Array;
  readonly tagsEnd: Int32Array;
  /** 1 where the raw tags object has no white space outside strings and can be copied as it is. */
  readonly tagsCompact: Uint8Array;
}

/** An item of a well-formed body that broke a rule. */
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
  /** Items seen and items that broke a rule in the last body; `seen = columns.count + rejected`. */
  readonly seen: number;
  readonly rejected: number;
  parse(length: number, format: BodyFormat): ParseOutcome;
  /** The first errors (ERRORS_MAX at most) of the last body; builds strings, so only for answers. */
  errors(): ItemError[];
  /** Why the last body was not PARSED. */
  failure(): ParseFailure;
}

export type CreateParser = (limits: ParserLimits) => Parser;
