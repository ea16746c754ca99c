/** How `--max-memory` is divided. */
import { MIB } from '../base/units.ts';

export interface MemoryPlan {
  /** Rows of a batch. */
  readonly batchRows: number;
  readonly duckdbBytes: number;
  /** Rows that DuckDB sorts in memory. */
  readonly sortRows: number;
}

/** Node.js with its heap, DuckDB's library, read buffers and a large commit. */
const FIXED_BYTES = 160 * MIB;
/** Columns, order and index of a row in a batch. */
const BATCH_ROW_BYTES = 64;
/** A row in a sort of DuckDB, with its tags as text. */
const SORT_ROW_BYTES = 400;
const ROWS_MIN = 20_000;
const ROWS_MAX = 4_000_000;
export const MAX_MEMORY_LEAST_BYTES = 320 * MIB;

export function memoryPlan(maxMemoryBytes: number): MemoryPlan {
  const free = maxMemoryBytes - FIXED_BYTES;
  const batchBytes = free / 4;
  const duckdbBytes = free - batchBytes;
  return {
    batchRows: Math.floor(Math.min(ROWS_MAX, Math.max(ROWS_MIN, batchBytes / BATCH_ROW_BYTES))),
    duckdbBytes: Math.floor(duckdbBytes),
    sortRows: Math.floor(duckdbBytes / 2 / SORT_ROW_BYTES),
  };
}
