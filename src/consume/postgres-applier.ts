/**
 * PostgreSQL as the sink of `consume`: one transaction for all messages of one log in a batch. It notes which commits it
 * stores in `ms_applied`, so a message that comes again is recognised, whoever stored it.
 *
 * Messages of one exporter's run are disjoint, and workers store them side by side under a shared lock of their log. After
 * a stream was rolled back, or with `--from`, an exporter cuts the same commits into other messages. Those are stored one
 * at a time under the exclusive lock, without the commits that are there already.
 */
import pg from 'pg';
import type { Registry } from 'prom-client';
import type { Logger } from '../base/log.ts';
import { createPool, placeOf, sinkError } from '../export/postgres/connection.ts';
import { IDENTITY, REPLACED_TEXT, readIdentity } from '../export/postgres/identity.ts';
import { requireAll } from '../export/postgres/kept-out.ts';
import type { PostgresOptions } from '../export/postgres/options.ts';
import { RowStore, withClient } from '../export/postgres/row-store.ts';
import type { Rows } from '../export/postgres/rows.ts';
import { readSchema, warnOfUnlogged } from '../export/postgres/schema-state.ts';
import { beginText } from '../export/postgres/transaction.ts';
import { type CommitMessage, isSameExtent } from '../nats/message.ts';
import { type Applied, type Applier, ApplyError } from './applier.ts';
import { type Covered, commitsOf, quarantinedIn, uncovered } from './message-commits.ts';
import { StoredCommits } from './stored-commits.ts';

/** The value of `ms_cursor.writer`: no exporter has this name. */
const CONSUME_WRITER = 'consume';
const MAINTENANCE_RETRY_MS = 5_000;
/** Characters, JSON and times that no table holds. Other errors come from tables that somebody has altered. */
const DATA_ERRORS: readonly string[] = ['22008', '22021', '22P02', '22P05'];
/** SQLSTATEs of a database that ends, or has no room for another connection. */
const AWAY = /^(08|53|57P)/;

/** The rows were prepared for another database. */
class Replaced extends ApplyError {
  constructor(message: string) {
    super('retry', message);
  }
}

interface Parts {
  readonly url: URL;
  readonly options: PostgresOptions;
  readonly logger: Logger;
  readonly registry: Registry;
}

export class PostgresApplier implements Applier {
  private readonly parts: Parts;
  private readonly place: string;
  private readonly pool: pg.Pool;
  private store: RowStore | null = null;
  private isConnected = false;
  private readonly stored = new StoredCommits();
  /** Why retention or partitions ahead fail, or ''. */
  private maintenanceError = '';
  private nextMaintenanceMs = 0;

  constructor(parts: Parts) {
    this.parts = parts;
    this.place = placeOf(parts.url);
    this.pool = createPool(parts.url, parts.options, 'metricsstream consume');
  }

  connect(): Promise<void> {
    return this.inWords(async () => {
      const { options, logger, registry } = this.parts;
      const { layout, identity } = await withClient(this.pool, async (client) => {
        const { layout } = await readSchema(client, this.place, options.layout);
        await warnOfUnlogged(client, layout, logger);
        await this.stored.check(client, this.place, logger);
        return { layout, identity: await readIdentity(client) };
      });
      this.store ??= new RowStore({ layout, options, logger, registry });
      if (this.store.layout !== layout) {
        throw new ApplyError('fatal', `${this.place}: has another layout than before: start consume again`);
      }
      this.store.forget(identity);
      this.isConnected = true;
    });
  }

  async apply(messages: readonly CommitMessage[]): Promise<Applied> {
    try {
      if (!this.isConnected) await this.connect();
      const store = this.store!;
      await this.maintain(store);
      let [lines, repeated] = [0, 0];
      for (const ofLog of byLog(messages)) {
        const applied = await this.inWords(() => this.applyToCurrent(store, ofLog));
        lines += applied.lines;
        repeated += applied.repeated;
      }
      return { lines, repeated };
    } catch (error) {
      // Forgets series and partitions at the next connection: the database may be restored or replaced by then.
      if (!(error instanceof ApplyError) || error.verdict !== 'poison') this.isConnected = false;
      throw error;
    }
  }

  /** Retention and partitions ahead do not decide about the metrics: why they fail is said once. */
  private async maintain(store: RowStore): Promise<void> {
    if (performance.now() < this.nextMaintenanceMs) return;
    try {
      await this.inWords(() => store.maintain(this.pool));
      this.maintenanceError = '';
    } catch (error) {
      if (!(error instanceof ApplyError) || isAway(error)) throw error;
      if (error.message !== this.maintenanceError) {
        this.parts.logger.warn(
          `maintenance of the tables fails, so retention and partitions ahead wait: ${error.message}`,
        );
      }
      this.maintenanceError = error.message;
      this.nextMaintenanceMs = performance.now() + MAINTENANCE_RETRY_MS;
    }
  }

  /** Prepares the rows again if the database is another one than before. */
  private async applyToCurrent(store: RowStore, messages: readonly CommitMessage[]): Promise<Applied> {
    try {
      return await this.applyLog(store, messages);
    } catch (error) {
      if (!(error instanceof Replaced)) throw error;
      this.parts.logger.info(`${this.place}: ${REPLACED_TEXT}`);
      await this.connect();
      return this.applyLog(store, messages);
    }
  }

  private async applyLog(store: RowStore, messages: readonly CommitMessage[]): Promise<Applied> {
    if (!messages.some(({ mayRepeat }) => mayRepeat)) {
      const stored = await this.applyTogether(store, messages);
      if (stored !== null) return { lines: stored, repeated: 0 };
    }
    let [lines, repeated] = [0, 0];
    for (const message of messages) {
      const stored = await this.applyAlone(store, message);
      lines += stored ?? 0;
      if (stored === null || stored < message.lines) repeated++;
    }
    return { lines, repeated };
  }

  /** Lines stored, or null if some of the commits are there already and nothing was stored. */
  private async applyTogether(store: RowStore, messages: readonly CommitMessage[]): Promise<number | null> {
    const rows = await this.prepare(store, messages);
    return withClient(this.pool, async (client) => {
      await this.begin(client, store, messages[0]!.log, 'shared');
      const noted = await this.note(client, messages, rows);
      if (noted === messages.length) return this.finish(client, store, messages, rows);
      await client.query('ROLLBACK');
      return null;
    });
  }

  /** Stores the commits of one message that are missing. Returns the lines stored; null if none is missing. */
  private async applyAlone(store: RowStore, message: CommitMessage): Promise<number | null> {
    for (;;) {
      const before = await withClient(this.pool, (client) => this.covered(client, message));
      const missing = uncovered(message, before);
      if (missing.length === 0) return null;
      const rows = await this.prepare(store, missing);
      const stored = await withClient(this.pool, async (client) => {
        await this.begin(client, store, message.log, 'exclusive');
        const now = uncovered(message, await this.covered(client, message));
        const isSame = now.length === missing.length && now.every((one, k) => isSameExtent(one, missing[k]!));
        if (isSame) {
          requireAll({ rowCount: await this.note(client, missing, rows) }, missing.length, 'ms_applied');
          return this.finish(client, store, missing, rows);
        }
        // Another worker stored some of it meanwhile.
        await client.query('ROLLBACK');
        return null;
      });
      if (stored !== null) return stored;
    }
  }

  /** Rows with the series and partitions that they need; made before the transaction, which stays short. */
  private prepare(store: RowStore, messages: readonly CommitMessage[]): Promise<Rows> {
    const commits = messages.flatMap(commitsOf);
    const lineCount = messages.reduce((sum, { lines }) => sum + lines, 0);
    return store.prepare(this.pool, commits, lineCount);
  }

  private async begin(
    client: pg.ClientBase,
    store: RowStore,
    log: string,
    mode: 'shared' | 'exclusive',
  ): Promise<void> {
    const key = BigInt.asIntN(64, BigInt(`0x${log.replaceAll('-', '').slice(0, 16)}`));
    const lock = mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock';
    const results = (await client.query(
      `${beginText(this.parts.options)}; SELECT ${IDENTITY} AS identity, ${lock}(${key})`,
    )) as unknown as pg.QueryResult<{ identity: string }>[];
    if (store.describes(results.at(-1)!.rows[0]!.identity)) return;
    await client.query('ROLLBACK');
    throw new Replaced(`${this.place}: ${REPLACED_TEXT}`);
  }

  /**
   * Notes the messages as stored; returns how many of them were not there yet, not even in part. Rows are disjoint, so of
   * those that begin before a message only the last one can reach into it: the cost does not grow with the table.
   */
  private async note(client: pg.ClientBase, messages: readonly CommitMessage[], rows: Rows): Promise<number> {
    const quarantined = (message: CommitMessage): number =>
      rows.quarantined.filter((line) => quarantinedIn(message, line)).length;
    const { rowCount } = await client.query(
      `INSERT INTO ms_applied (log, first_commit, last_commit, part, parts, metrics)
       SELECT $1, first, last, part, parts, metrics
       FROM unnest($2::int8[], $3::int8[], $4::int[], $5::int[], $6::int8[]) AS t (first, last, part, parts, metrics)
       WHERE NOT EXISTS (
         SELECT FROM ms_applied a
         WHERE a.log = $1 AND a.first_commit BETWEEN t.first AND t.last
           AND (a.part = t.part OR a.part = 0 OR t.part = 0))
       AND NOT EXISTS (
         SELECT FROM (
           SELECT last_commit FROM ms_applied WHERE log = $1 AND first_commit < t.first
           ORDER BY first_commit DESC LIMIT 1) AS before
         WHERE before.last_commit >= t.first)
       ORDER BY first, part
       ON CONFLICT DO NOTHING`,
      [
        messages[0]!.log,
        messages.map(({ first }) => first),
        messages.map(({ last }) => last),
        messages.map(({ part }) => part),
        messages.map(({ parts }) => parts),
        messages.map((message) => message.lines - quarantined(message)),
      ],
    );
    return rowCount ?? 0;
  }

  private async covered(client: pg.ClientBase, { log, first, last }: CommitMessage): Promise<Covered[]> {
    const { rows } = await client.query<{ first: string; last: string; part: number }>(
      `SELECT first_commit AS first, last_commit AS last, part FROM ms_applied
       WHERE log = $1 AND first_commit BETWEEN $2 AND $3
       UNION ALL
       SELECT * FROM (
         SELECT first_commit, last_commit, part FROM ms_applied WHERE log = $1 AND first_commit < $2
         ORDER BY first_commit DESC LIMIT 1) AS before
       WHERE last_commit >= $2`,
      [log, first, last],
    );
    return rows.map(({ first, last, part }) => ({ first: Number(first), last: Number(last), part }));
  }

  /** Copies the rows and commits. Returns the number of lines. */
  private async finish(
    client: pg.ClientBase,
    store: RowStore,
    messages: readonly CommitMessage[],
    rows: Rows,
  ): Promise<number> {
    const { log } = messages[0]!;
    const last = Math.max(...messages.map((message) => message.last));
    await store.copy(client, log, rows);
    for (const { first, last, part, firstLine, damage } of messages) {
      if (damage === '') continue;
      const line = part === 0 ? null : firstLine;
      const kept = await client.query(
        'INSERT INTO ms_quarantine (log, first_commit, last_commit, line, reason) VALUES ($1, $2, $3, $4, $5)',
        [log, first, last, line, damage],
      );
      requireAll(kept, 1, 'ms_quarantine');
    }
    // Last, because transactions of the same log wait for each other from here on.
    const moved = await client.query(
      `INSERT INTO ms_cursor AS c (log, commit, segment, writer) VALUES ($1, $2, 0, $3)
       ON CONFLICT (log) DO UPDATE SET commit = greatest(c.commit, $2), segment = 0, writer = $3, at = now()`,
      [log, last, CONSUME_WRITER],
    );
    requireAll(moved, 1, 'ms_cursor');
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw new ApplyError('retry', `${this.place}: the transaction was rolled back`);
    this.stored.add(log, last);
    return messages.reduce((sum, { lines }) => sum + lines, 0);
  }

  private async inWords<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ApplyError) throw error;
      const { verdict, message, cause } = sinkError(this.place, error);
      const isData = cause instanceof pg.DatabaseError && DATA_ERRORS.includes(cause.code ?? '');
      throw new ApplyError(isData ? 'poison' : verdict === 'retry' ? 'retry' : 'fatal', message, { cause });
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }
}

/** Whether the metrics have to wait, too. */
const isAway = ({ verdict, cause }: ApplyError): boolean =>
  verdict === 'retry' && (!(cause instanceof pg.DatabaseError) || AWAY.test(cause.code ?? ''));

function byLog(messages: readonly CommitMessage[]): Iterable<CommitMessage[]> {
  const logs = new Map<string, CommitMessage[]>();
  for (const message of messages) {
    const ofLog = logs.get(message.log);
    if (ofLog === undefined) logs.set(message.log, [message]);
    else ofLog.push(message);
  }
  return logs.values();
}
