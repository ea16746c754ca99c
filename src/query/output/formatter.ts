/** Turns the chunks of a result into text as they come, in bounded memory. */
import type { DuckDBDataChunk } from '@duckdb/node-api';

export interface Formatter {
  /** Text before the first row. */
  head(): string;
  rows(chunk: DuckDBDataChunk): string;
  /** Text after the last row. */
  end(): string;
}
