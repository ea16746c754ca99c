/**
 * Hands the rows of a batch to DuckDB as a table function, 2,048 at a time, so that a batch exists once: in the columns
 * of `MetricRows`.
 *
 * Columns are copied as blocks of memory through DuckDB's own bindings. Setting each item through `@duckdb/node-api`
 * takes three times as long.
 */
import type { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';
import { loadBindings, loadDuckDB } from '../duckdb/duckdb.ts';
import { Int64s } from '../duckdb/int64s.ts';
import { type MetricRows, NOT_DECIMAL, POWERS } from './metric-rows.ts';

/** Rows in a chunk of DuckDB. */
const CHUNK_ROWS = 2_048;
/** The largest dividend that a double holds exactly, with room for the fraction. */
const DIVIDEND_MAX = 2 ** 52;

/** Rows in the order in which a file gets them. */
export interface Rows {
  readonly rows: MetricRows;
  readonly order: Int32Array;
}

/** A FROM item: series, time, commit, value, whole, fraction and divisor. The divisor is 0 if `value` holds the value. */
export const ROWS_FUNCTION = 'batch_rows()';

/** @param current the rows that a statement reads, when it begins */
export async function registerRowFeed(connection: DuckDBConnection, current: () => Rows): Promise<void> {
  const { DuckDBTableFunction, BIGINT, DOUBLE, INTEGER, TIMESTAMP_MS } = loadDuckDB();
  const bindings = loadBindings();
  const columns = new RowColumns();
  const types = [INTEGER, TIMESTAMP_MS, BIGINT, DOUBLE, BIGINT, BIGINT, BIGINT];
  let next = 0;
  connection.registerTableFunction(
    DuckDBTableFunction.create({
      name: ROWS_FUNCTION.slice(0, -'()'.length),
      bindFunction: (bind) => {
        for (const [index, { name }] of columns.all.entries()) bind.addResultColumn(name, types[index]!);
        bind.setCardinality(current().order.length, true);
      },
      initFunction: () => {
        next = 0;
      },
      mainFunction: (_info, chunk: DuckDBDataChunk) => {
        const { rows, order } = current();
        const count = Math.min(CHUNK_ROWS, order.length - next);
        chunk.rowCount = count;
        if (count === 0) return;
        columns.fill(rows, order, next, count);
        next += count;
        for (const [index, { buffer, itemBytes }] of columns.all.entries()) {
          const vector = bindings.data_chunk_get_vector(chunk.chunk, index);
          bindings.copy_data_to_vector(vector, 0, buffer, 0, itemBytes * count);
        }
      },
    }),
  );
}

/** The columns of a chunk. */
class RowColumns {
  private readonly series = new Int32Array(CHUNK_ROWS);
  private readonly time = new Int64s(CHUNK_ROWS);
  private readonly commit = new Int64s(CHUNK_ROWS);
  private readonly value = new Float64Array(CHUNK_ROWS);
  private readonly whole = new Int64s(CHUNK_ROWS);
  private readonly fraction = new Int64s(CHUNK_ROWS);
  private readonly divisor = new Int64s(CHUNK_ROWS);
  readonly all = [
    { name: 'series', buffer: this.series.buffer, itemBytes: 4 },
    { name: 'time', buffer: this.time.words.buffer, itemBytes: 8 },
    { name: 'commit', buffer: this.commit.words.buffer, itemBytes: 8 },
    { name: 'value', buffer: this.value.buffer, itemBytes: 8 },
    { name: 'whole', buffer: this.whole.words.buffer, itemBytes: 8 },
    { name: 'fraction', buffer: this.fraction.words.buffer, itemBytes: 8 },
    { name: 'divisor', buffer: this.divisor.words.buffer, itemBytes: 8 },
  ];

  /** Copies `count` rows from `order[from]` on. */
  fill(rows: MetricRows, order: Int32Array, from: number, count: number): void {
    for (let k = 0; k < count; k++) {
      const row = order[from + k]!;
      const series = rows.series[row]!;
      this.series[k] = series;
      this.time.set(k, rows.timeMs[row]!);
      this.commit.set(k, rows.commit[row]!);
      const digits = rows.decimals[row]!;
      const whole = rows.whole[row]!;
      if (digits === NOT_DECIMAL) {
        this.value[k] = whole;
        this.whole.set(k, 0);
        this.fraction.set(k, 0);
        this.divisor.set(k, 0);
        continue;
      }
      // Clients omit zeros at the end: one divisor for all values of a series compresses better.
      const most = rows.seriesDecimals[series]!;
      const wide = Math.abs(whole) * POWERS[most]! < DIVIDEND_MAX ? most : digits;
      this.whole.set(k, whole);
      this.fraction.set(k, rows.fraction[row]! * POWERS[wide - digits]!);
      this.divisor.set(k, POWERS[wide]!);
    }
  }
}
