/** The sink of `consume` over a real PostgreSQL: repeated, overlapping, cut and concurrent messages are stored once. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { ApplyError } from '../../src/consume/applier.ts';
import { PostgresApplier } from '../../src/consume/postgres-applier.ts';
import type { PostgresOptions } from '../../src/export/postgres/options.ts';
import type { CommitMessage } from '../../src/nats/message.ts';
import { messagesOf } from '../../src/nats/range-messages.ts';
import type { LogCommit } from '../../src/storage/commit-reader.ts';
import { onEnd, suiteOwner } from '../support/clean-up.ts';
import { init } from '../support/pipeline.ts';
import { type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';

const OPTIONS: PostgresOptions = {
  ...{ layout: null, pool: 2, connectTimeoutMs: 180_000, statementTimeoutMs: 180_000 },
  ...{
    synchronousCommit: 'on',
    seriesCache: 65_536,
    seriesPerName: 1_000,
    partitionDays: 1,
    retentionMs: 0,
    ledgerAgeMs: 0,
  },
};
const PADDING = 'p'.repeat(200);
const BODY_MAX_BYTES = 1 << 20;

/** A commit whose lines have values commit × 10,000 + line. */
function commitOf(number: number, lineCount: number): LogCommit {
  const lines = Buffer.from(
    Array.from(
      { length: lineCount },
      (_, k) =>
        `{"timestamp":1700000000000,"name":"m","value":${number * 10_000 + k},"type":"gauge","tags":{"p":"${PADDING}"}}\n`,
    ).join(''),
  );
  const place = { segment: 1, offset: 0, bytes: lines.length };
  return { kind: 'commit', commit: number, crc32: 0, ...place, lineCount, lines };
}

function cut(log: string, commits: readonly LogCommit[]): CommitMessage[] {
  const [first, last] = [commits[0]!.commit, commits.at(-1)!.commit];
  const range = {
    after: first - 1,
    last,
    end: { segment: 1, offset: 0 },
    commits,
    damaged: [],
    lineCount: 0,
    bytes: 0,
  };
  return messagesOf(range, { log, exporter: 'test', readAtMs: Date.now(), bodyMaxBytes: BODY_MAX_BYTES });
}

describe('the PostgreSQL sink of consume', { skip: requirePostgres() }, () => {
  const owner = suiteOwner();
  let postgres: Postgres;
  before(async () => {
    postgres = await startPostgres(owner);
    await init(postgres.url);
  });

  function applierOf(t: TestContext, user = 'postgres'): PostgresApplier {
    const applier = new PostgresApplier({
      url: new URL(postgres.url.replace('postgres@', `${user}@`)),
      options: OPTIONS,
      logger: pino({ level: 'silent' }),
      registry: new Registry(),
    });
    onEnd(t, () => applier.close());
    return applier;
  }

  /** Values of one log's commits in the table, by the range of numbers that only it uses. */
  async function values(from: number, to: number): Promise<number[]> {
    const rows = await postgres.query<{ value: number }>(
      'SELECT value FROM ms_metrics WHERE value >= $1 AND value < $2 ORDER BY value',
      [from * 10_000, to * 10_000],
    );
    return rows.map(({ value }) => value);
  }

  const expected = (commits: readonly LogCommit[]): number[] =>
    commits.flatMap(({ commit, lineCount }) =>
      Array.from({ length: lineCount }, (_, k) => commit * 10_000 + k),
    );

  let nextCommit = 1;
  /** Numbers that no other test uses, so that all share the tables. */
  const take = (count: number): number => {
    nextCommit += count;
    return nextCommit - count;
  };

  it('stores metrics while a permission for retention is missing, and says so once', async (t) => {
    const url = await postgres.createDatabase('owned');
    await init(url);
    await postgres.queryOn(
      url,
      "CREATE TABLE ms_sample_20200101 PARTITION OF ms_sample FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')",
    );
    await postgres.queryOn(
      url,
      'CREATE ROLE writer LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO writer',
    );
    const logged: string[] = [];
    const applier = new PostgresApplier({
      url: new URL(url.replace('postgres@', 'writer@')),
      options: { ...OPTIONS, retentionMs: 400 * 86_400_000 },
      logger: pino({ base: null }, { write: (line: string) => void logged.push(line) }),
      registry: new Registry(),
    });
    onEnd(t, () => applier.close());
    const log = randomUUID();
    for (const commit of [1, 2]) {
      const [message] = cut(log, [commitOf(commit, 3)]);
      assert.deepEqual(await applier.apply([message!]), { lines: 3, repeated: 0 });
    }
    const warnings = logged.filter((line) => line.includes('must be owner of table ms_sample_20200101'));
    assert.equal(warnings.length, 1, logged.join(''));
  });

  for (const isolation of ['read committed', 'repeatable read', 'serializable'])
    it(`stores commits once however they are cut, repeated and ordered, by two workers, with ${isolation} as the default`, async (t) => {
      const user = isolation.replace(' ', '_');
      await postgres.query(
        `CREATE ROLE ${user} SUPERUSER LOGIN; ALTER ROLE ${user} SET default_transaction_isolation = '${isolation}'`,
      );
      const workers = [applierOf(t, user), applierOf(t, user)];
      const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 2, maxLength: 8 });
      const slices = fc.array(fc.tuple(fc.nat(7), fc.nat(7), fc.nat(1)), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(sizes, slices, async (lineCounts, cuts) => {
          const first = take(lineCounts.length);
          const log = randomUUID();
          const commits = lineCounts.map((count, k) => commitOf(first + k, count));
          const messages = cuts.map(([from, length, worker]) => {
            const part = commits.slice(from % commits.length, (from % commits.length) + length + 1);
            return { worker, batch: cut(log, part).map((one) => ({ ...one, mayRepeat: true })) };
          });
          const run = async (worker: number): Promise<void> => {
            for (const one of messages) if (one.worker === worker) await workers[worker]!.apply(one.batch);
          };
          await Promise.all([run(0), run(1)]);
          await workers[0]!.apply(cut(log, commits));
          assert.deepEqual(await values(first, first + commits.length), expected(commits));
        }),
        { numRuns: 25 },
      );
    });

  it('records a line that fits no message, with its place in the commit', async (t) => {
    const commit = commitOf(take(1), 3);
    const long = commit.lines.toString().replace(PADDING, 'p'.repeat(BODY_MAX_BYTES));
    const messages = cut(randomUUID(), [{ ...commit, lines: Buffer.from(long) }]);
    const applier = applierOf(t);
    assert.deepEqual(await applier.apply(messages), { lines: 2, repeated: 0 });
    assert.deepEqual(
      await values(commit.commit, commit.commit + 1),
      [1, 2].map((k) => commit.commit * 10_000 + k),
    );
    const rows = await postgres.query('SELECT line, reason FROM ms_quarantine WHERE first_commit = $1', [
      commit.commit,
    ]);
    assert.match(
      JSON.stringify(rows),
      /^\[\{"line":0,"reason":"a metric of \d+ bytes, above the limit of the stream/,
    );
  });

  it('keeps its messages while a constraint refuses them, instead of calling them poison', async (t) => {
    const url = await postgres.createDatabase('constrained');
    await init(url);
    await postgres.queryOn(url, 'ALTER TABLE ms_sample ADD COLUMN owner int NOT NULL');
    const applier = new PostgresApplier({
      url: new URL(url),
      options: OPTIONS,
      logger: pino({ level: 'silent' }),
      registry: new Registry(),
    });
    onEnd(t, () => applier.close());
    const messages = cut(randomUUID(), [commitOf(1, 3)]);
    await assert.rejects(applier.apply(messages), (error: unknown) => {
      assert.ok(error instanceof ApplyError, String(error));
      assert.equal(error.verdict, 'fatal');
      return /null value in column "owner" .*: --init does not make this constraint: drop it/.test(
        error.message,
      );
    });
    await postgres.queryOn(url, 'ALTER TABLE ms_sample ALTER COLUMN owner SET DEFAULT 0');
    assert.deepEqual(await applier.apply(messages), { lines: 3, repeated: 0 });
  });

  it('stores a message once that two workers get at the same time', async (t) => {
    const workers = [applierOf(t), applierOf(t)];
    for (let round = 0; round < 10; round++) {
      const commits = [commitOf(take(1), 50)];
      const messages = cut(randomUUID(), commits);
      const applied = await Promise.all(workers.map((worker) => worker.apply(messages)));
      assert.equal(applied[0]!.lines + applied[1]!.lines, 50);
      assert.equal(applied[0]!.repeated + applied[1]!.repeated, 1);
      assert.deepEqual(await values(commits[0]!.commit, commits[0]!.commit + 1), expected(commits));
    }
  });

  it('stores a message once that comes twice in one batch', async (t) => {
    const commits = [commitOf(take(1), 5)];
    const [message] = cut(randomUUID(), commits);
    const applied = await applierOf(t).apply([message!, message!]);
    assert.deepEqual(applied, { lines: 5, repeated: 1 });
  });

  it('stores the parts of a large commit in any order, and none again', async (t) => {
    const commit = commitOf(take(1), 5_000);
    const messages = cut(randomUUID(), [commit]);
    assert.ok(messages.length > 1);
    const applier = applierOf(t);
    for (const message of messages.toReversed()) await applier.apply([message]);
    assert.deepEqual(await applier.apply(messages), { lines: 0, repeated: messages.length });
    assert.deepEqual(await values(commit.commit, commit.commit + 1), expected([commit]));
  });

  it('puts a line that PostgreSQL cannot hold into ms_quarantine, with its place in the commit', async (t) => {
    const commit = commitOf(take(1), 5_000);
    const at = commit.lines.lastIndexOf('"tags":{"p":"p');
    commit.lines.write('"tags":{"p":"\\u0000', at);
    const messages = cut(randomUUID(), [commit]);
    assert.ok(messages.length > 1);
    await applierOf(t).apply(messages);
    const rows = await postgres.query('SELECT line FROM ms_quarantine WHERE first_commit = $1', [
      commit.commit,
    ]);
    assert.deepEqual(rows, [{ line: 4_999 }]);
    assert.equal((await values(commit.commit, commit.commit + 1)).length, 4_999);
  });

  it('records damaged commits once', async (t) => {
    const number = take(3);
    const log = randomUUID();
    const damage = { kind: 'damaged', segment: 1, offset: 0, bytes: 9, reason: 'a flipped bit' } as const;
    const messages = messagesOf(
      {
        ...{ after: number - 1, last: number + 2, end: { segment: 1, offset: 0 }, lineCount: 0, bytes: 0 },
        commits: [commitOf(number, 1), commitOf(number + 2, 1)],
        damaged: [{ ...damage, first: number + 1, last: number + 1 }],
      },
      { log, exporter: 'test', readAtMs: 0, bodyMaxBytes: BODY_MAX_BYTES },
    );
    assert.deepEqual(
      messages.map(({ first, damage: reason }) => [first, reason]),
      [
        [number, ''],
        [number + 1, 'a flipped bit'],
        [number + 2, ''],
      ],
    );
    const applier = applierOf(t);
    await applier.apply(messages);
    await applier.apply(messages);
    const rows = await postgres.query('SELECT reason FROM ms_quarantine WHERE log = $1', [log]);
    assert.deepEqual(rows, [{ reason: 'a flipped bit' }]);
  });

  it('says that the database is away, and works again once it is back', async (t) => {
    const applier = applierOf(t);
    const commits = [commitOf(take(1), 3)];
    const messages = cut(randomUUID(), commits);
    await applier.connect();
    await postgres.stop();
    await assert.rejects(applier.apply(messages), (error: unknown) => {
      assert.ok(error instanceof ApplyError, String(error));
      assert.equal(error.verdict, 'retry');
      return /^postgres:\/\/.*: cannot reach the database: /.test(error.message);
    });
    await postgres.start();
    assert.deepEqual(await applier.apply(messages), { lines: 3, repeated: 0 });
  });

  it('moves a cursor of export without its segment, which is that of another commit', async (t) => {
    const log = randomUUID();
    const first = take(2);
    await postgres.query(`INSERT INTO ms_cursor VALUES ($1, $2, 7, 'export')`, [log, first]);
    await applierOf(t).apply(cut(log, [commitOf(first + 1, 1)]));
    const cursor = 'SELECT commit::int, segment::int FROM ms_cursor WHERE log = $1';
    assert.deepEqual(await postgres.query(cursor, [log]), [{ commit: first + 1, segment: 0 }]);
  });

  it('names the commits that a database has lost with its last transactions', async (t) => {
    const logged: string[] = [];
    const applier = new PostgresApplier({
      ...{ url: new URL(postgres.url), options: OPTIONS, registry: new Registry() },
      logger: pino({ base: null }, { write: (line: string) => void logged.push(line) }),
    });
    onEnd(t, () => applier.close());
    const log = randomUUID();
    const first = take(3);
    const [one, two, three] = [0, 1, 2].map((k) => cut(log, [commitOf(first + k, 2)])[0]!);
    await applier.apply([one!]);
    await applier.apply([two!]);
    // As a standby without the last transaction: other connections, and another start.
    await postgres.query('DELETE FROM ms_applied WHERE log = $1 AND first_commit > $2', [log, first]);
    await postgres.query('UPDATE ms_cursor SET commit = $2 WHERE log = $1', [log, first]);
    await postgres.restart();
    for (let tries = 0; tries < 3; tries++)
      if (
        await applier.apply([three!]).then(
          () => true,
          () => false,
        )
      )
        break;
    const errors = logged.filter((line) => line.includes('has lost commits'));
    assert.equal(errors.length, 1, logged.join(''));
    assert.match(
      errors[0]!,
      new RegExp(`"had":${first + 1},"has":${first}.*--once --from ${first + 1} to the`),
    );
  });
});
