/**
 * The columns of archive files, and the table of metrics that they represent.
 *
 * A Parquet file has no compact form for decimal fractions: 42.817 and 42.818 share hardly a bit as doubles. So a value
 * is stored as integers where that is exact: `value = (whole * divisor + fraction) / divisor`, with `divisor` 1, 10,
 * 100 …. Dividend and divisor are below 2^53, so the division gives the nearest double of the decimal number, which is
 * the value that was sent. Other values (large exponents, more than 15 digits) are in `value`, and the three are null.
 */
import { sqlList } from '../duckdb/duckdb.ts';

/** The value of a row of an archive file. */
const VALUE = 'coalesce(value, (whole * divisor + fraction) / divisor)';

/** A FROM item with the columns of `metrics`: time, name, type, tags, value and commit. */
export function archivedMetrics(paths: readonly string[]): string {
  return `(SELECT time, name, type, tags, ${VALUE} AS value, commit FROM read_parquet(${sqlList(paths)}, hive_partitioning = false))`;
}
