/**
 * The metrics of the segments as rows of numbers, in a private file that costs DuckDB almost nothing.
 *
 * A query must read every byte of a segment anyway, to check the seals. Lines have a fixed form, so taking them apart in
 * the same pass costs 0.2 µs each. DuckDB's JSON reader needs 2 µs, most of it for tags. Here name, type and tags are the
 * number of a series, and the few series come from a small table.
 */

import { MetricRows, NOT_DECIMAL, POWERS } from '../archive/metric-rows.ts';
import { Int64s } from '../duckdb/int64s.ts';
import { type HeldFiles, type PrivateFile, pathOfFd } from './held-files.ts';
import { PlainParquet } from './plain-parquet.ts';

/** DuckDB's own size of a row group, the unit of its parallel work. */
const GROUP_ROWS = 122_880;
const COLUMNS = [
  { name: 'series', type: 'INT32' },
  { name: 'time', type: 'TIMESTAMP' },
  { name: 'value', type: 'DOUBLE' },
  { name: 'commit', type: 'INT64' },
] as const;

const SERIES_COLUMNS = [
  { name: 'id', type: 'INT32' },
  { name: 'line', type: 'TEXT' },
] as const;

/** Names of two Parquet files: rows, and the `id` of each series with its part of a line as JSON. */
export interface LiveRowFiles {
  readonly rows: string;
  readonly series: string;
}

export interface LiveRowsOptions {
  /** Unix milliseconds: rows outside `[fromMs, toMs)` are left out. */
  readonly fromMs: number;
  readonly toMs: number;
  /** With more bytes of series than this, no more lines are taken. */
  readonly seriesBytesMax: number;
}

export class LiveRows {
  private readonly files: HeldFiles;
  private readonly options: LiveRowsOptions;
  private readonly rows = new MetricRows(GROUP_ROWS);
  private readonly group = new RowGroup();
  private target: PrivateFile | null = null;
  private parquet: PlainParquet | null = null;

  constructor(files: HeldFiles, options: LiveRowsOptions) {
    this.files = files;
    this.options = options;
    this.rows.clear();
  }

  /**
   * Takes the lines of a commit.
   * @param text as `readLines` returns it
   * @returns false if it took none: they have another form, or there are too many series
   */
  add(commit: number, text: Buffer, lines: number): boolean {
    const { rows } = this;
    if (rows.count + lines > GROUP_ROWS) this.flush();
    if (rows.table.bytes > this.options.seriesBytesMax) return false;
    return rows.add(commit, text, lines) === 0;
  }

  /** Moves the rows from `rows` to the file. */
  private flush(): void {
    const { rows, group } = this;
    const { fromMs, toMs } = this.options;
    for (let row = 0; row < rows.count; row++) {
      const timeMs = rows.timeMs[row]!;
      if (timeMs < fromMs || timeMs >= toMs) continue;
      const digits = rows.decimals[row]!;
      const whole = rows.whole[row]!;
      const isDecimal = digits !== NOT_DECIMAL;
      // Exact: dividend and divisor are below 2^53.
      const value = isDecimal ? (whole * POWERS[digits]! + rows.fraction[row]!) / POWERS[digits]! : whole;
      group.add(rows.series[row]!, timeMs, value, rows.commit[row]!);
      if (group.count === GROUP_ROWS) this.write();
    }
    if (group.count > 0) this.write();
    rows.clearRows();
  }

  private write(): void {
    this.target ??= this.files.create();
    this.parquet ??= new PlainParquet(this.target, COLUMNS);
    this.parquet.addGroup(this.group.count, this.group.chunks());
    this.group.clear();
  }

  /** The complete files, or null without rows. */
  end(): LiveRowFiles | null {
    this.flush();
    if (this.target === null) return null;
    this.parquet!.end();
    const series = this.files.create();
    this.writeSeries(series);
    return { rows: pathOfFd(this.target.fd), series: pathOfFd(series.fd) };
  }

  private writeSeries(target: PrivateFile): void {
    const { table } = this.rows;
    const parquet = new PlainParquet(target, SERIES_COLUMNS);
    for (let first = 0; first < table.size; first += GROUP_ROWS) {
      const count = Math.min(GROUP_ROWS, table.size - first);
      const ids = Int32Array.from({ length: count }, (_, index) => first + index);
      const lines = Array.from(ids, (id) => {
        const { name, rest } = table.texts(id);
        return Buffer.concat([LENGTH, HEAD, name, TYPE_KEY, rest]);
      });
      for (const line of lines) line.writeUInt32LE(line.length - LENGTH.length);
      parquet.addGroup(count, [
        { bytes: bytesOf(ids), range: null },
        { bytes: Buffer.concat(lines), range: null },
      ]);
    }
    parquet.end();
  }
}

const LENGTH = Buffer.alloc(4);
const HEAD = Buffer.from('{"name":"');
const TYPE_KEY = Buffer.from('","type":"');

/** The columns of a row group. */
class RowGroup {
  count = 0;
  private readonly series = new Int32Array(GROUP_ROWS);
  private readonly time = new Int64s(GROUP_ROWS);
  private readonly commit = new Int64s(GROUP_ROWS);
  private readonly value = new Float64Array(GROUP_ROWS);
  private minTimeMs = Number.POSITIVE_INFINITY;
  private maxTimeMs = Number.NEGATIVE_INFINITY;

  add(series: number, timeMs: number, value: number, commit: number): void {
    const row = this.count++;
    this.series[row] = series;
    this.time.set(row, timeMs);
    this.commit.set(row, commit);
    this.value[row] = value;
    if (timeMs < this.minTimeMs) this.minTimeMs = timeMs;
    if (timeMs > this.maxTimeMs) this.maxTimeMs = timeMs;
  }

  /** In the order of COLUMNS. */
  chunks() {
    const { count } = this;
    const times = { min: int64(this.minTimeMs), max: int64(this.maxTimeMs) };
    return [
      { bytes: bytesOf(this.series.subarray(0, count)), range: null },
      { bytes: bytesOf(this.time.words.subarray(0, 2 * count)), range: times },
      { bytes: bytesOf(this.value.subarray(0, count)), range: null },
      { bytes: bytesOf(this.commit.words.subarray(0, 2 * count)), range: null },
    ];
  }

  clear(): void {
    this.count = 0;
    this.minTimeMs = Number.POSITIVE_INFINITY;
    this.maxTimeMs = Number.NEGATIVE_INFINITY;
  }
}

function bytesOf(list: Int32Array | Float64Array): Uint8Array {
  return new Uint8Array(list.buffer, list.byteOffset, list.byteLength);
}

function int64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}
