/** How `--max-memory` is divided. */
import { MetricsStreamError } from '../base/errors.ts';
import type { MemoryLimit } from '../base/memory-limit.ts';
import { MIB } from '../base/units.ts';
import type { BatchSize } from './batch.ts';

export interface MemoryPlan extends BatchSize {
  readonly duckdbBytes: number;
  /** Rows that DuckDB sorts in memory. */
  readonly sortRows: number;
}

/** Node.js with its heap, DuckDB's library, read buffers and a large commit. */
const FIXED_BYTES = 160 * MIB;
/** Columns, order and index of a row in a batch. */
const BATCH_ROW_BYTES = 64;
/** A batch's series exist as bytes, as texts and in several tables of DuckDB, with every tag as a value of its own. */
const SERIES_SHARE = 72;
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
    seriesBytes: Math.floor(free / SERIES_SHARE),
    duckdbBytes: Math.floor(duckdbBytes),
    sortRows: Math.floor(duckdbBytes / 2 / SORT_ROW_BYTES),
  };
}

/**
 * The part of `maxMemoryBytes` that the process may take: beyond its limit the kernel would kill it without a word.
 * @throws MetricsStreamError CONFIG_INVALID if the limit does not suffice for any plan
 */
export function memoryWithin({ bytes, source }: MemoryLimit, maxMemoryBytes: number): number {
  if (bytes >= MAX_MEMORY_LEAST_BYTES) return Math.min(maxMemoryBytes, bytes);
  const [has, needs] = [bytes, MAX_MEMORY_LEAST_BYTES].map((size) => Math.floor(size / MIB));
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `archive needs ${needs} MiB of memory and may use ${has} MiB (${source}): raise that limit`,
  );
}
