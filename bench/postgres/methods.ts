/** Five ways to insert the same rows, each with its own protection against storing a row twice. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { seriesChunks } from '../../src/export/postgres/copy-format.ts';
import type { Rows } from '../../src/export/postgres/rows.ts';

/** A batch as every method gets it. */
interface Batch {
  readonly number: number;
  readonly rows: Rows;
}

export interface Method {
  readonly name: string;
  /** Where its rows go. */
  readonly table: 'keyed' | 'staged' | 'plain';
  insert(client: pg.ClientBase, batch: Batch): Promise<void>;
}

const VALUES_ROWS = 1_000;
const CONFLICT = 'ON CONFLICT (batch, line) DO NOTHING';

const times = ({ times: all, count }: Rows, from = 0, to = count): string[] =>
  Array.from(all.subarray(from, to), (time) => new Date(time).toISOString());

async function values(client: pg.ClientBase, { number, rows }: Batch): Promise<void> {
  await client.query('BEGIN');
  for (let from = 0; from < rows.count; from += VALUES_ROWS) {
    const to = Math.min(rows.count, from + VALUES_ROWS);
    const parameters: unknown[] = [];
    const tuples: string[] = [];
    const stamps = times(rows, from, to);
    for (let row = from; row < to; row++) {
      const at = parameters.length;
      tuples.push(`($${at + 1}, $${at + 2}, $${at + 3}, $${at + 4}, $${at + 5})`);
      parameters.push(number, row, stamps[row - from], rows.series[row], rows.values[row]);
    }
    await client.query(
      `INSERT INTO bench_keyed (batch, line, time, series_id, value) VALUES ${tuples.join(', ')} ${CONFLICT}`,
      parameters,
    );
  }
  await client.query('COMMIT');
}

async function unnest(client: pg.ClientBase, { number, rows }: Batch): Promise<void> {
  const { count, series, values: all } = rows;
  await client.query(
    `INSERT INTO bench_keyed (batch, line, time, series_id, value)
     SELECT $1, line - 1, time, series_id, value
     FROM unnest($2::timestamptz[], $3::int8[], $4::float8[]) WITH ORDINALITY AS t (time, series_id, value, line)
     ${CONFLICT}`,
    [number, times(rows), Array.from(series.subarray(0, count)), Array.from(all.subarray(0, count))],
  );
}

/** Lines of COPY's text format, in a few large texts. */
function* textChunks({ number, rows }: Batch): Generator<string, void> {
  const stamps = times(rows);
  for (let from = 0; from < rows.count; from += VALUES_ROWS) {
    let text = '';
    for (let row = from; row < Math.min(rows.count, from + VALUES_ROWS); row++)
      text += `${number}\t${row}\t${stamps[row]}\t${rows.series[row]}\t${rows.values[row]}\n`;
    yield text;
  }
}

async function copyText(client: pg.ClientBase, batch: Batch): Promise<void> {
  await client.query('BEGIN; TRUNCATE bench_staged');
  const copy = client.query(copyFrom('COPY bench_staged (batch, line, time, series_id, value) FROM STDIN'));
  await pipeline(Readable.from(textChunks(batch)), copy);
  await client.query(`INSERT INTO bench_keyed SELECT * FROM bench_staged ${CONFLICT}; COMMIT`);
}

/** Moves the cursor and copies `chunks`, in one transaction. */
async function withCursor(
  client: pg.ClientBase,
  { number }: Batch,
  copy: () => Promise<void>,
): Promise<void> {
  const moved = await client.query(
    `BEGIN; UPDATE bench_cursor SET batch = ${number} WHERE batch = ${number - 1}`,
  );
  assert.equal((moved as unknown as pg.QueryResult[])[1]?.rowCount, 1, 'the cursor moved');
  await copy();
  await client.query('COMMIT');
}

function* plainText(batch: Batch): Generator<string, void> {
  for (const text of textChunks(batch)) yield text.replaceAll(/^\d+\t\d+\t/gm, '');
}

const copyTextCursor = (client: pg.ClientBase, batch: Batch): Promise<void> =>
  withCursor(client, batch, () =>
    pipeline(
      Readable.from(plainText(batch)),
      client.query(copyFrom('COPY bench_plain (time, series_id, value) FROM STDIN')),
    ),
  );

const copyBinaryCursor = (client: pg.ClientBase, batch: Batch): Promise<void> =>
  withCursor(client, batch, () =>
    pipeline(
      Readable.from(seriesChunks(batch.rows)),
      client.query(copyFrom('COPY bench_plain (time, series_id, value) FROM STDIN (FORMAT binary)')),
    ),
  );

/** In the order of the journey. */
export const METHODS: readonly Method[] = [
  { name: 'VALUES, ON CONFLICT', table: 'keyed', insert: values },
  { name: 'UNNEST, ON CONFLICT', table: 'keyed', insert: unnest },
  { name: 'COPY text to a staging table, ON CONFLICT', table: 'staged', insert: copyText },
  { name: 'COPY text, cursor', table: 'plain', insert: copyTextCursor },
  { name: 'COPY binary, cursor', table: 'plain', insert: copyBinaryCursor },
];

export const TABLES = `
DROP TABLE IF EXISTS bench_keyed, bench_staged, bench_plain, bench_cursor;
CREATE TABLE bench_keyed (
  batch int8, line int8, time timestamptz NOT NULL, series_id int8 NOT NULL, value float8 NOT NULL,
  PRIMARY KEY (batch, line)
);
CREATE TABLE bench_staged (batch int8, line int8, time timestamptz, series_id int8, value float8);
CREATE TABLE bench_plain (time timestamptz NOT NULL, series_id int8 NOT NULL, value float8 NOT NULL)
  PARTITION BY RANGE (time);
CREATE INDEX ON bench_plain USING brin (time);
CREATE TABLE bench_plain_default PARTITION OF bench_plain DEFAULT;
CREATE TABLE bench_cursor (batch int8);
INSERT INTO bench_cursor VALUES (0);
`;
