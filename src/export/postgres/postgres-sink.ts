/**
 * The PostgreSQL sink: one transaction for each range moves the cursor, notes the range, and copies its metrics.
 *
 * The cursor moves first: a second exporter waits for the row and then finds another commit in it, before it has copied
 * anything. New series and partitions are prepared in transactions of their own, while the range before is on its way.
 */
import pg from 'pg';
import {
  type CommitRange,
  type Cursor,
  type Maintenance,
  type PreparedRange,
  type Sink,
  type SinkContext,
  SinkError,
} from '../sink.ts';
import { createPool, placeOf, sinkError } from './connection.ts';
import { readCursor, sealLiteral } from './cursor.ts';
import { IDENTITY, REPLACED_TEXT, readIdentity } from './identity.ts';
import { requireAll } from './kept-out.ts';
import type { PostgresOptions } from './options.ts';
import { forgetBehind } from './rewind.ts';
import { RowStore, withClient } from './row-store.ts';
import type { Rows } from './rows.ts';
import { readSchema, warnOfUnlogged } from './schema-state.ts';
import { beginText } from './transaction.ts';

export class PostgresSink implements Sink {
  readonly place: string;
  durableCommit = 0;
  private readonly context: SinkContext;
  private readonly options: PostgresOptions;
  private readonly pool: pg.Pool;
  private store: RowStore | null = null;
  /** Whether `ms_cursor` has a row of this log, and its commit. */
  private hasCursor = false;
  private shippedCommit = 0;
  /** With asynchronous commits: a commit that is durable once the database has flushed its log up to there. */
  private unflushed: { readonly commit: number; readonly lsn: string } | null = null;

  constructor(url: URL, options: PostgresOptions, context: SinkContext) {
    this.place = placeOf(url);
    this.options = options;
    this.context = context;
    this.pool = createPool(url, options, 'metricsstream export');
  }

  async connect(): Promise<Cursor | null> {
    const { log } = this.context;
    return this.inWords(async () => {
      const { schema, cursor, identity } = await withClient(this.pool, async (client) => {
        const schema = await readSchema(client, this.place, this.options.layout);
        await warnOfUnlogged(client, schema.layout, this.context.logger);
        return { schema, identity: await readIdentity(client), cursor: await readCursor(client, log) };
      });
      this.store ??= this.createStore(schema.layout);
      if (this.store.layout !== schema.layout)
        throw new SinkError('fatal', `${this.place}: has another layout than before: start export again`);
      this.store.forget(identity);
      this.hasCursor = cursor !== null;
      this.shippedCommit = cursor?.commit ?? 0;
      this.unflushed = null;
      // Another transaction may have moved the cursor a moment ago, so even this one may not be flushed.
      this.durableCommit = this.isSynchronous
        ? this.shippedCommit
        : Math.min(this.durableCommit, this.shippedCommit);
      return cursor;
    });
  }

  cursor(): Promise<Cursor | null> {
    return this.inWords(() => withClient(this.pool, (client) => readCursor(client, this.context.log)));
  }

  private createStore(layout: RowStore['layout']): RowStore {
    const { logger, registry } = this.context;
    return new RowStore({ layout, options: this.options, logger, registry });
  }

  private get isSynchronous(): boolean {
    return this.options.synchronousCommit === 'on';
  }

  async prepare(range: CommitRange): Promise<PreparedRange> {
    const { store } = this;
    if (store === null) throw new SinkError('retry', `${this.place}: not connected`);
    const rows = await this.inWords(() => store.prepare(this.pool, range.commits, range.lineCount));
    return {
      quarantinedCount: rows.quarantined.length,
      ship: () =>
        this.inWords(() => withClient(this.pool, (client) => this.ship(client, store, range, rows))),
    };
  }

  private async ship(client: pg.ClientBase, store: RowStore, range: CommitRange, rows: Rows): Promise<void> {
    const { log } = this.context;
    await this.moveCursor(client, store, range, rows.count);
    await store.copy(client, log, rows);
    for (const { first, last, reason } of range.damaged) {
      const kept = await client.query(
        'INSERT INTO ms_quarantine (log, first_commit, last_commit, reason) VALUES ($1, $2, $3, $4)',
        [log, first, last, reason],
      );
      requireAll(kept, 1, 'ms_quarantine');
    }
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw new SinkError('retry', `${this.place}: the transaction was rolled back`);
    this.hasCursor = true;
    this.shippedCommit = range.last;
    if (this.isSynchronous) this.durableCommit = range.last;
  }

  /** Opens the transaction. One round trip. */
  private async moveCursor(
    client: pg.ClientBase,
    store: RowStore,
    range: CommitRange,
    metrics: number,
  ): Promise<void> {
    const { after, last, end } = range;
    const log = pg.escapeLiteral(this.context.log);
    const writer = pg.escapeLiteral(this.context.writer);
    const seal = sealLiteral(range);
    const move = this.hasCursor
      ? `UPDATE ms_cursor SET commit = ${last}, segment = ${end.segment}, seal = ${seal}, writer = ${writer}, at = now()
         WHERE log = ${log} AND commit = ${after} RETURNING log`
      : `INSERT INTO ms_cursor (log, commit, segment, seal, writer)
         VALUES (${log}, ${last}, ${end.segment}, ${seal}, ${writer})
         ON CONFLICT DO NOTHING RETURNING log`;
    const results = (await client.query(
      `${beginText(this.options)};
       SELECT ${IDENTITY} AS identity;
       WITH moved AS (${move})
       INSERT INTO ms_applied (log, first_commit, last_commit, metrics)
       SELECT log, ${after + 1}, ${last}, ${metrics} FROM moved`,
    )) as unknown as pg.QueryResult[];
    const [read, moved] = results.slice(-2);
    const { identity } = read!.rows[0] as { identity: string };
    const isSame = store.describes(identity);
    if (isSame && moved!.rowCount === 1) return;
    await client.query('ROLLBACK');
    const held = isSame ? ((await readCursor(client, this.context.log))?.commit ?? null) : null;
    if (isSame && held === (this.hasCursor ? after : null))
      requireAll({ rowCount: 0 }, 1, 'ms_cursor or ms_applied');
    const text = isSame ? `the cursor is not at commit ${after} any more` : REPLACED_TEXT;
    throw new SinkError('retry', `${this.place}: ${text}`);
  }

  async rewind(commit: number): Promise<number> {
    const { log } = this.context;
    const { store } = this;
    if (store === null) throw new SinkError('retry', `${this.place}: not connected`);
    const kept = await this.inWords(() =>
      withClient(this.pool, (client) => forgetBehind(client, this.place, store.layout, log, commit)),
    );
    this.shippedCommit = this.durableCommit = kept;
    return kept;
  }

  async maintain(when: Maintenance): Promise<void> {
    const { store } = this;
    if (store === null) return;
    if (when === 'last') store.expire();
    await this.inWords(async () => {
      if (!this.isSynchronous) await (when === 'last' ? this.flush() : this.followFlush());
      await store.maintain(this.pool);
    });
  }

  /** Every commit so far is durable once the database has flushed what it has written by now. */
  private async followFlush(): Promise<void> {
    const { unflushed, shippedCommit } = this;
    const { rows } = await withClient(this.pool, (client) =>
      client.query<{ written: string; flushed: boolean | null }>(
        'SELECT pg_current_wal_insert_lsn() AS written, pg_current_wal_flush_lsn() >= $1::pg_lsn AS flushed',
        [unflushed?.lsn ?? null],
      ),
    );
    const [{ written, flushed } = { written: '', flushed: false }] = rows;
    if (unflushed !== null && flushed !== true) return;
    if (unflushed !== null) this.durableCommit = unflushed.commit;
    this.unflushed = { commit: shippedCommit, lsn: written };
  }

  /** A synchronous commit flushes everything before it. It writes nothing where the database has lost commits since. */
  private async flush(): Promise<void> {
    const { context, options, shippedCommit } = this;
    await withClient(this.pool, async (client) => {
      await client.query(beginText({ ...options, synchronousCommit: 'on' }));
      const written = await client.query('UPDATE ms_cursor SET at = at WHERE log = $1 AND commit >= $2', [
        context.log,
        shippedCommit,
      ]);
      const { command } = await client.query('COMMIT');
      if (command === 'COMMIT' && written.rowCount === 1) this.durableCommit = shippedCommit;
    });
  }

  private async inWords<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw sinkError(this.place, error);
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }
}
