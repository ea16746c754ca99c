/** The macros group by the text of tags: they give what grouping by the tags themselves gives, also for odd tags. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { DuckDBConnection } from '@duckdb/node-api';
import fc from 'fast-check';
import { PAIRS, SORTED_TAGS } from '../../bench/query/plain-questions.ts';
import { MACROS } from '../../src/query/macros.ts';

type Tags = readonly (readonly [key: string, value: string])[];

/** Tags that differ in one respect only, and texts that JSON writes in a special way. */
const ODD: readonly Tags[] = [
  [],
  [['', '']],
  [['', 'a']],
  [['a', '']],
  [['a', 'null']],
  [['null', 'a']],
  [
    ['a', 'b'],
    ['c', 'd'],
  ],
  [
    ['c', 'd'],
    ['a', 'b'],
  ],
  [['a', 'b","c":"d']],
  [['a":"b', 'c']],
  [['a', 'b\\c']],
  [['a', 'b/c']],
  [['a', '\u0000']],
  [['a', '\u0000b']],
  [['a', '\\u0000']],
  [['a', '\n\r\t\b\f\u001f\u007f']],
  [['größe', '😀']],
  [['gro\u0308ße', '😀']],
  [['a', '\u2028\uffff']],
  [['a', '{}']],
  [['a', ' ']],
  [['A', ' ']],
];

const part = fc.oneof(
  fc.constantFrom('', 'a', 'b', '"', '\\', '\u0000', ':', ',', '{}', 'null', 'é', 'e\u0301', '😀'),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
);
const randomTags: fc.Arbitrary<Tags> = fc.uniqueArray(fc.tuple(part, part), {
  selector: ([key]) => key,
  maxLength: 3,
});

describe('the macros', () => {
  let connection: DuckDBConnection;
  let duckdb: typeof import('@duckdb/node-api');

  before(async () => {
    duckdb = await import('@duckdb/node-api');
    connection = await duckdb.DuckDBConnection.create();
    await connection.run(
      'CREATE TABLE metrics (time TIMESTAMP, name VARCHAR, type VARCHAR, tags MAP(VARCHAR, VARCHAR), value DOUBLE)',
    );
    for (const { sql } of MACROS) await connection.run(sql);
  });

  async function fill(rows: readonly Tags[]): Promise<void> {
    await connection.run('DELETE FROM metrics');
    const appender = await connection.createAppender('metrics');
    for (const [index, tags] of rows.entries()) {
      appender.appendTimestamp(new duckdb.DuckDBTimestampValue(BigInt(index) * 1_000_000n));
      appender.appendVarchar(index % 5 === 4 ? 'b' : 'a');
      appender.appendVarchar('counter');
      const entries = tags.map(([key, value]) => ({ key, value }));
      appender.appendMap(new duckdb.DuckDBMapValue(entries), duckdb.MAP(duckdb.VARCHAR, duckdb.VARCHAR));
      appender.appendDouble((index * 7) % 23);
      appender.endRow();
    }
    appender.closeSync();
  }

  const ask = async (sql: string): Promise<unknown> => (await connection.runAndReadAll(sql)).getRowsJson();

  async function compare(name: string): Promise<void> {
    const [macro, plain] = PAIRS[name]!;
    assert.deepEqual(await ask(macro), await ask(plain), name);
  }

  it('keep odd tags apart, and tags in another order together', async () => {
    await fill([...ODD, ...ODD, ...ODD.toReversed()]);
    for (const name of Object.keys(PAIRS)) await compare(name);
    const [[series]] = (await ask('SELECT count(*) FROM top_series(1000000) WHERE tags != MAP {}')) as [
      [string],
    ];
    assert.ok(Number(series) >= ODD.length - 2, series);
  });

  it('give back the tags themselves', async () => {
    for (const tags of ODD) {
      await fill([tags]);
      const [[same]] = (await ask(
        `SELECT (SELECT tags FROM latest('a')) = (SELECT ${SORTED_TAGS} FROM metrics)`,
      )) as [[boolean]];
      assert.ok(same, JSON.stringify(tags));
    }
  });

  it('agree with the plain question for random tags', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(randomTags, { minLength: 1, maxLength: 40 }), async (rows) => {
        await fill([...rows, ...rows.map((tags) => tags.toReversed())]);
        for (const name of Object.keys(PAIRS)) await compare(name);
      }),
      { numRuns: 40 },
    );
  });
});
