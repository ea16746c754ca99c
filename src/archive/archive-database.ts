/**
 * The part of the archive that DuckDB does: writes a batch's rows as Parquet, reads files back, merges them.
 *
 * Rows reach DuckDB through a table function (`row-feed.ts`). Names, types and tags come from a small table of series, as enumerations where they are few: the Parquet writer then
 * need not hash a text for each row, which halves its time.
 */
import type { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';
import { loadDuckDB, openDuckDB, sqlList, sqlText } from '../duckdb/duckdb.ts';
import type { MetricRows } from './metric-rows.ts';
import { ROWS_FUNCTION, type Rows, registerRowFeed } from './row-feed.ts';
import { type RowSums, SUMS_SQL, sumsFromSql } from './row-sums.ts';

export interface DatabaseLimits {
  readonly maxMemoryBytes: number;
  readonly threads: number;
  readonly spillDirectory: string;
  readonly spillBytes: number;
}

/** Series in a chunk of DuckDB. */
const CHUNK_ROWS = 2_048;
/** Above this, a column is text: every row group holds all values of an enumeration. */
const ENUM_VALUES_MAX = 2_048;
/** A column with more distinct values in a row group stores them as differences, which sorted columns need. */
const DICTIONARY_VALUES = 1_024;
/** DuckDB's vectors; a row group has a whole number of them. */
const VECTOR_ROWS = 2_048;
export const ROW_GROUP_ROWS_MAX = 122_880;
/** A row group is held whole, as one of several copies: a text takes up to twice its bytes. */
const ROW_GROUP_SHARE = 8;
/** The key of the metadata in Parquet files. */
const METADATA_KEY = 'metricsstream';

const COLUMNS = 'time, name, type, tags, value, whole, fraction, divisor, commit';

export class ArchiveDatabase {
  private readonly connection: DuckDBConnection;
  private readonly maxMemoryBytes: number;
  private feed: Rows | null = null;

  private constructor(connection: DuckDBConnection, { maxMemoryBytes }: DatabaseLimits) {
    this.connection = connection;
    this.maxMemoryBytes = maxMemoryBytes;
  }

  static async open(limits: DatabaseLimits): Promise<ArchiveDatabase> {
    const database = new ArchiveDatabase(await openDuckDB(limits), limits);
    await database.registerFeeds();
    return database;
  }

  private async registerFeeds(): Promise<void> {
    await registerRowFeed(this.connection, () => this.feed!);
    const { DuckDBTableFunction, INTEGER, VARCHAR } = loadDuckDB();
    let next = 0;
    this.connection.registerTableFunction(
      DuckDBTableFunction.create({
        name: 'batch_series',
        bindFunction: (bind) => {
          bind.addResultColumn('id', INTEGER);
          for (const name of ['name', 'type', 'tags']) bind.addResultColumn(name, VARCHAR);
          bind.setCardinality(this.feed!.rows.table.size, true);
        },
        initFunction: () => {
          next = 0;
        },
        mainFunction: (_info, chunk) => {
          const { rows } = this.feed!;
          chunk.rowCount = Math.min(CHUNK_ROWS, rows.table.size - next);
          if (chunk.rowCount > 0) fillSeries(rows, chunk, next);
          next += chunk.rowCount;
        },
      }),
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

  /**
   * Writes rows of the batch whose series were loaded.
   * @param doubles how many of their values are not decimal
   */
  async write(path: string, { rows, order }: Rows, doubles: number, metadata: object): Promise<void> {
    this.feed = { rows, order };
    const integers = ['whole', 'fraction', 'divisor'];
    const values =
      doubles === 0
        ? ['NULL::DOUBLE AS value', ...integers]
        : [
            'CASE WHEN divisor = 0 THEN value END AS value',
            ...integers.map((name) => `CASE WHEN divisor > 0 THEN ${name} END AS ${name}`),
          ];
    await this.copy(
      `SELECT time, name, type, tags, ${values.join(', ')}, commit FROM ${ROWS_FUNCTION} JOIN series ON id = series`,
      path,
      metadata,
      this.rowGroupRows(rows.meanLineBytes),
    );
  }

  private rowGroupRows(lineBytes: number): number {
    const rows = this.maxMemoryBytes / ROW_GROUP_SHARE / lineBytes;
    return Math.min(ROW_GROUP_ROWS_MAX, Math.max(1, Math.floor(rows / VECTOR_ROWS)) * VECTOR_ROWS);
  }

  /**
   * Writes the rows of several files as one.
   * @param sorted in the order of `DayRows`, or else file after file
   */
  async merge(
    paths: readonly string[],
    path: string,
    metadata: object,
    rowGroupRows: number,
    sorted: boolean,
  ): Promise<void> {
    const order = sorted ? ' ORDER BY name, type, tags::VARCHAR, time, commit' : '';
    await this.copy(
      `SELECT time::TIMESTAMP_MS AS time, * EXCLUDE (time) FROM (SELECT ${COLUMNS} FROM ${filesOf(paths)}${order})`,
      path,
      metadata,
      rowGroupRows,
    );
  }

  private copy(select: string, path: string, metadata: object, rowGroupRows: number): Promise<void> {
    const options = [
      'FORMAT parquet',
      'PARQUET_VERSION v2',
      'CODEC zstd',
      `DICTIONARY_SIZE_LIMIT ${DICTIONARY_VALUES}`,
      `ROW_GROUP_SIZE ${rowGroupRows}`,
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

function filesOf(paths: readonly string[]): string {
  return `read_parquet(${sqlList(paths)}, hive_partitioning = false)`;
}

function fillSeries(rows: MetricRows, chunk: DuckDBDataChunk, at: number): void {
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
