/**
 * The part of the archive that DuckDB does: writes a batch's rows as Parquet, reads files back, merges them.
 *
 * Rows reach DuckDB through table functions, 2,048 at a time, so a batch exists once: in the columns of `MetricRows`.
 * Names, types and tags come from a small table of series, as enumerations where they are few: the Parquet writer then
 * need not hash a text for each row, which halves its time.
 */
import type { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';
import { loadDuckDB, openDuckDB, sqlList, sqlText } from '../duckdb/duckdb.ts';
import { type MetricRows, NOT_DECIMAL, POWERS } from './metric-rows.ts';
import { type RowSums, SUMS_SQL, sumsFromSql } from './row-sums.ts';

export interface DatabaseLimits {
  readonly maxMemoryBytes: number;
  readonly threads: number;
  readonly spillDirectory: string;
  readonly spillBytes: number;
}

/** Rows in a chunk of DuckDB. */
const CHUNK_ROWS = 2_048;
/** Above this, a column is text: every row group holds all values of an enumeration. */
const ENUM_VALUES_MAX = 2_048;
/** A column with more distinct values in a row group stores them as differences, which sorted columns need. */
const DICTIONARY_VALUES = 1_024;
const ROW_GROUP_ROWS = 122_880;
/** The key of the metadata in Parquet files. */
const METADATA_KEY = 'metricsstream';
/** The largest dividend that a double holds exactly, with room for the fraction. */
const DIVIDEND_MAX = 2 ** 52;

const COLUMNS = 'time, name, type, tags, value, whole, fraction, divisor, commit';

/** Rows in the order in which a file gets them. */
interface Feed {
  readonly rows: MetricRows;
  readonly order: Int32Array;
}

export class ArchiveDatabase {
  private readonly connection: DuckDBConnection;
  private feed: Feed | null = null;

  private constructor(connection: DuckDBConnection) {
    this.connection = connection;
  }

  static async open(limits: DatabaseLimits): Promise<ArchiveDatabase> {
    const database = new ArchiveDatabase(await openDuckDB(limits));
    await database.registerFeeds();
    return database;
  }

  private async registerFeeds(): Promise<void> {
    const { DuckDBTableFunction, DOUBLE, INTEGER, VARCHAR } = await loadDuckDB();
    const register = (
      name: string,
      columns: readonly [string, typeof DOUBLE | typeof INTEGER | typeof VARCHAR][],
      rowsOf: (feed: Feed) => number,
      fill: (feed: Feed, chunk: DuckDBDataChunk, at: number) => void,
    ): void => {
      const next = { at: 0 };
      this.connection.registerTableFunction(
        DuckDBTableFunction.create({
          name,
          bindFunction: (bind) => {
            for (const [column, type] of columns) bind.addResultColumn(column, type);
            bind.setCardinality(rowsOf(this.feed!), true);
          },
          initFunction: () => {
            next.at = 0;
          },
          mainFunction: (_info, chunk) => {
            chunk.rowCount = Math.min(CHUNK_ROWS, rowsOf(this.feed!) - next.at);
            if (chunk.rowCount > 0) fill(this.feed!, chunk, next.at);
            next.at += chunk.rowCount;
          },
        }),
      );
    };
    const numbers = ['time', 'commit', 'value', 'whole', 'fraction', 'divisor'] as const;
    register(
      'batch_rows',
      [['series', INTEGER], ...numbers.map((name): [string, typeof DOUBLE] => [name, DOUBLE])],
      ({ order }) => order.length,
      fillRows,
    );
    const texts = ['name', 'type', 'tags'] as const;
    register(
      'batch_series',
      [['id', INTEGER], ...texts.map((name): [string, typeof VARCHAR] => [name, VARCHAR])],
      ({ rows }) => rows.table.size,
      fillSeries,
    );
  }

  /** Loads the series of a batch into DuckDB. Call it before `write`. */
  async loadSeries(rows: MetricRows): Promise<void> {
    this.feed = { rows, order: new Int32Array(0) };
    await this.run(`DROP TABLE IF EXISTS series`);
    for (const type of ENUMS) await this.run(`DROP TYPE IF EXISTS ${type}`);
    const tags = `CAST(tags::JSON AS MAP(VARCHAR, VARCHAR))`;
    await this.run(
      `CREATE OR REPLACE TABLE texts AS SELECT id, name, type, ${tags} AS tags FROM batch_series()`,
    );
    const name = await this.columnType('name_value', 'SELECT name FROM texts');
    const type = await this.columnType('type_value', 'SELECT type FROM texts');
    const key = await this.columnType('tag_key', 'SELECT unnest(map_keys(tags)) FROM texts');
    const value = await this.columnType('tag_value', 'SELECT unnest(map_values(tags)) FROM texts');
    await this.run(
      `CREATE TABLE series AS SELECT id, name::${name} AS name, type::${type} AS type, tags::MAP(${key}, ${value}) AS tags FROM texts`,
    );
    await this.run('DROP TABLE texts');
  }

  /** An enumeration of the texts that a query selects, if they are few. */
  private async columnType(name: (typeof ENUMS)[number], texts: string): Promise<string> {
    const [[count] = []] = await this.select(
      `SELECT count(*) FROM (SELECT DISTINCT * FROM (${texts}) LIMIT ${ENUM_VALUES_MAX + 1})`,
    );
    if (Number(count) === 0 || Number(count) > ENUM_VALUES_MAX) return 'VARCHAR';
    await this.run(`CREATE TYPE ${name} AS ENUM (SELECT DISTINCT * FROM (${texts}) ORDER BY 1)`);
    return name;
  }

  /** Writes rows of the batch whose series were loaded. */
  async write(path: string, rows: MetricRows, order: Int32Array, metadata: object): Promise<void> {
    this.feed = { rows, order };
    const integers = ['whole', 'fraction', 'divisor'].map((name) => `${present(name)}::BIGINT AS ${name}`);
    await this.copy(
      `SELECT epoch_ms(time::BIGINT)::TIMESTAMP_MS AS time, name, type, tags, ${present('value')} AS value, ${integers.join(', ')}, commit::BIGINT AS commit FROM batch_rows() JOIN series ON id = series`,
      path,
      metadata,
    );
  }

  /**
   * Writes the rows of several files as one.
   * @param sorted in the order of `DayRows`, or else file after file
   */
  async merge(paths: readonly string[], path: string, metadata: object, sorted: boolean): Promise<void> {
    const order = sorted ? ' ORDER BY name, type, tags::VARCHAR, time, commit' : '';
    await this.copy(
      `SELECT time::TIMESTAMP_MS AS time, * EXCLUDE (time) FROM (SELECT ${COLUMNS} FROM ${filesOf(paths)}${order})`,
      path,
      metadata,
    );
  }

  private copy(select: string, path: string, metadata: object): Promise<void> {
    const options = [
      'FORMAT parquet',
      'PARQUET_VERSION v2',
      'CODEC zstd',
      `DICTIONARY_SIZE_LIMIT ${DICTIONARY_VALUES}`,
      `ROW_GROUP_SIZE ${ROW_GROUP_ROWS}`,
      `KV_METADATA {${METADATA_KEY}: ${sqlText(JSON.stringify(metadata))}}`,
    ];
    return this.run(`COPY (${select}) TO ${sqlText(path)} (${options.join(', ')})`);
  }

  /** The sums over all rows of files. */
  async sums(paths: readonly string[]): Promise<RowSums> {
    const [row = []] = await this.select(`SELECT ${SUMS_SQL} FROM ${filesOf(paths)}`);
    return sumsFromSql(row);
  }

  /** The metadata that `write` or `merge` put into a file, or null if another program wrote it. */
  async metadata(path: string): Promise<unknown> {
    const [row] = await this.select(
      `SELECT decode(value) FROM parquet_kv_metadata(${sqlText(path)}) WHERE decode(key) = ${sqlText(METADATA_KEY)}`,
    );
    return row === undefined ? null : JSON.parse(String(row[0]));
  }

  private async run(sql: string): Promise<void> {
    await this.connection.run(sql);
  }

  private async select(sql: string): Promise<unknown[][]> {
    return (await this.connection.runAndReadAll(sql)).getRows();
  }

  close(): void {
    this.connection.closeSync();
  }
}

const ENUMS = ['name_value', 'type_value', 'tag_key', 'tag_value'] as const;

/** Stands for NULL: marking an item as null costs ten times as much, and no value is NaN. */
const ABSENT = Number.NaN;

/** A column of `batch_rows`, with NULL for ABSENT. */
function present(column: string): string {
  return `CASE WHEN isnan(${column}) THEN NULL ELSE ${column} END`;
}

function filesOf(paths: readonly string[]): string {
  return `read_parquet(${sqlList(paths)}, hive_partitioning = false)`;
}

function fillRows({ rows, order }: Feed, chunk: DuckDBDataChunk, at: number): void {
  const { series, timeMs, commit, decimals, whole, fraction, seriesDecimals } = rows;
  const vectors = Array.from({ length: chunk.columnCount }, (_, column) => chunk.getColumnVector(column));
  const [seriesOut, timeOut, commitOut, valueOut, wholeOut, fractionOut, divisorOut] = vectors;
  const { rowCount } = chunk;
  for (let k = 0; k < rowCount; k++) {
    const row = order[at + k]!;
    seriesOut!.setItem(k, series[row]!);
    timeOut!.setItem(k, timeMs[row]!);
    commitOut!.setItem(k, commit[row]!);
    const digits = decimals[row]!;
    const isDecimal = digits !== NOT_DECIMAL;
    // Clients omit zeros at the end: one divisor for all values of a series compresses better.
    const most = isDecimal ? seriesDecimals[series[row]!]! : 0;
    const wide = Math.abs(whole[row]!) * POWERS[most]! < DIVIDEND_MAX ? most : digits;
    valueOut!.setItem(k, isDecimal ? ABSENT : whole[row]!);
    wholeOut!.setItem(k, isDecimal ? whole[row]! : ABSENT);
    fractionOut!.setItem(k, isDecimal ? fraction[row]! * POWERS[wide - digits]! : ABSENT);
    divisorOut!.setItem(k, isDecimal ? POWERS[wide]! : ABSENT);
  }
  for (const vector of vectors) vector.flush();
}

function fillSeries({ rows }: Feed, chunk: DuckDBDataChunk, at: number): void {
  const [id, name, type, tags] = Array.from({ length: 4 }, (_, column) => chunk.getColumnVector(column));
  for (let k = 0; k < chunk.rowCount; k++) {
    const series = rows.table.series(at + k);
    id!.setItem(k, at + k);
    name!.setItem(k, series.name);
    type!.setItem(k, series.type);
    tags!.setItem(k, series.tagsJson);
  }
  for (const vector of [id, name, type, tags]) vector!.flush();
}
