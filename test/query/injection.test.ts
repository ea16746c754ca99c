/** SQL reads the view and nothing else, and changes nothing. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { MetricsStreamError } from '../../src/base/errors.ts';
import { openSession, prepareQuery } from '../../src/query/session.ts';
import { record } from '../support/damage.ts';
import { asker, TEST_LIMITS } from '../support/query-rows.ts';
import { temporaryDirectory } from '../support/server-process.ts';

/** `FD` is the name of an open segment. */
const ATTACKS: readonly string[] = [
  `SELECT * FROM read_text('/etc/passwd')`,
  `SELECT * FROM read_blob('/etc/passwd')`,
  `SELECT * FROM read_csv('/etc/passwd')`,
  `SELECT * FROM '/etc/passwd.csv'`,
  `SELECT * FROM read_text('/proc/self/environ')`,
  `SELECT * FROM read_text('FD/../../environ')`,
  `SELECT * FROM read_text('/proc/self/fd/0')`,
  `SELECT * FROM glob('/etc/*')`,
  `SELECT * FROM query('ATTACH ''TARGET''')`,
  `INSTALL httpfs`,
  `LOAD httpfs`,
  `LOAD 'TARGET'`,
  `ATTACH 'TARGET'`,
  `COPY metrics TO 'TARGET'`,
  `COPY (SELECT 1) TO 'FD' (FORMAT csv, USE_TMP_FILE false)`,
  `EXPLAIN ANALYZE COPY (SELECT 1) TO 'FD' (FORMAT csv, USE_TMP_FILE false)`,
  `EXPLAIN (FORMAT 'x)SELECT 1--', ANALYZE) COPY (SELECT 1) TO 'FD' (FORMAT csv, USE_TMP_FILE false)`,
  `EXPLAIN/**/ANALYZE COPY (SELECT 1) TO 'FD' (FORMAT csv, USE_TMP_FILE false)`,
  `SELECT 1; COPY (SELECT 1) TO 'FD' (FORMAT csv, USE_TMP_FILE false)`,
  `PREPARE p AS COPY (SELECT 1) TO 'FD' (FORMAT csv, USE_TMP_FILE false)`,
  `EXPORT DATABASE 'TARGET'`,
  `CREATE TABLE t AS SELECT 1`,
  `DROP VIEW metrics`,
  `CREATE OR REPLACE VIEW metrics AS SELECT 1`,
  `CREATE SECRET (TYPE s3)`,
  `SET memory_limit = '100GB'`,
  `SET enable_external_access = true`,
  `RESET allowed_paths`,
  `PRAGMA memory_limit = '100GB'`,
  `CALL enable_logging(storage = 'file', storage_path = 'TARGET')`,
  `SELECT count(DISTINCT range || 'a long text of its own') FROM range(100000000)`,
  `SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)`,
];

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

describe('SQL', () => {
  it('that reads, writes, loads, attaches or uses all memory is refused with one line', async (t) => {
    const { dataDir, paths } = await record([3, 1, 4]);
    const target = join(temporaryDirectory(t), 'target');
    const before = digestOf(paths[0]!);
    const range = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };
    const temporary = temporaryDirectory(t);
    const session = await openSession({
      dataDir,
      temporaryDirectory: temporary,
      ...range,
      limits: TEST_LIMITS,
    });
    t.after(() => session.close());
    const [path = ''] = session.snapshot.paths;
    // As it is, not a copy: SQL that could write would change the log.
    assert.match(path, /^\/proc\/self\/fd\/\d+$/);
    for (const attack of ATTACKS) {
      const sql = attack.replaceAll('FD', path).replaceAll('TARGET', target);
      const run = async () => {
        const prepared = await prepareQuery(session.connection, sql);
        await prepared.run();
      };
      await assert.rejects(
        run,
        (error: MetricsStreamError) => {
          assert.doesNotMatch(error.message, /root:/, sql);
          return true;
        },
        `not refused: ${sql}`,
      );
      assert.equal(digestOf(paths[0]!), before, `changed the segment: ${sql}`);
      assert.ok(!existsSync(target), `wrote a file: ${sql}`);
    }
    assert.deepEqual(readdirSync(temporary), []);
    const { rows } = await asker(t, dataDir)('SELECT count(*) FROM metrics');
    assert.deepEqual(rows, [[8n]]);
  });
});
