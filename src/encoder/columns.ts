/**
 * The encoder's input: validated metrics as columns.
 *
 * Names, values and tags are *raw spans* of a request body, still written and escaped as the client sent them, so that
 * the encoder can copy them to a line.
 */

/** Values of the `type` column. */
export const TYPE_GAUGE = 0;
export const TYPE_COUNTER = 1;
export const TYPE_HISTOGRAM = 2;
export const TYPE_SUMMARY = 3;

/** Values of the `timestampStart` column: the client sent no timestamp, or one in another notation than plain digits. */
export const NO_TIMESTAMP = -1;
export const FORMATTED_TIMESTAMP = -2;

/** Struct of arrays: index k of each array belongs to metric k. */
export interface MetricColumns {
  /** Number of metrics. */
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
