/** The columns that this thread's parser fills. They are module constants for the reason given in `input-buffer.ts`. */
import type { MetricColumns } from '../encoder/columns.ts';
import { inputBytes, inputView } from './input-buffer.ts';
import { BATCH_CEILING } from './parser.ts';

/** One more than the batch limit: a parser fills a row before it knows whether the item is valid. */
const ROWS = BATCH_CEILING + 1;

export const columns: MetricColumns = {
  count: 0,
  input: inputBytes,
  inputView,
  nameStart: new Int32Array(ROWS),
  nameEnd: new Int32Array(ROWS),
  valueStart: new Int32Array(ROWS),
  valueEnd: new Int32Array(ROWS),
  type: new Uint8Array(ROWS),
  timestampStart: new Int32Array(ROWS),
  timestampEnd: new Int32Array(ROWS),
  timestamp: new Float64Array(ROWS),
  tagsStart: new Int32Array(ROWS),
  tagsEnd: new Int32Array(ROWS),
  tagsCompact: new Uint8Array(ROWS),
};
