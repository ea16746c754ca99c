/**
 * Daily partitions: made before their metrics come, and dropped when retention ends.
 *
 * Days far from now go to the default partition, so that one wrong clock does not make a thousand tables. Creating the
 * partition of a day fails while the default partition holds metrics of that day: those stay where they are.
 */
import pg from 'pg';
import type { Logger } from '../../base/log.ts';
import { SinkError } from '../sink.ts';
import { DAY_MS } from './rows.ts';

/** Older days share the default partition. */
const PAST_DAYS = 400;
/**
 * Creating a partition locks the default one, and dropping one locks the table. Queries of other sessions may hold them for
 * long, and whoever stores metrics waits behind a lock that waits.
 */
const LOCK_TIMEOUT_MS = 2_000;
const CHECK_VIOLATION = '23514';
const DUPLICATE_TABLE = '42P07';
/** The bounds overlap those of another partition. */
const INVALID_OBJECT = '42P17';
/** Statements of one text are one transaction, so the setting ends with them, behind a pooler too. */
const LOCK_BRIEFLY = `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`;
/** A wrong clock must not end the retention of metrics that are young. */
const CLOCKS_APART_MAX_MS = 3_600_000;

const dayText = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

export class Partitions {
  private readonly table: string;
  private readonly aheadDays: number;
  private readonly logger: Logger;
  /** Days that have a partition, or that stay in the default one. */
  private readonly settled = new Set<number>();

  constructor(table: string, aheadDays: number, logger: Logger) {
    this.table = table;
    this.aheadDays = aheadDays;
    this.logger = logger;
  }

  /** Another database, or a restored one: nothing is known about its partitions. */
  reset(): void {
    this.settled.clear();
  }

  /** Today and the days ahead. */
  upcoming(nowMs: number): number[] {
    const today = Math.floor(nowMs / DAY_MS);
    return Array.from({ length: this.aheadDays + 1 }, (_, k) => today + k);
  }

  /** The days among `days` for which a partition should be created. */
  missing(days: Iterable<number>, nowMs: number): number[] {
    const today = Math.floor(nowMs / DAY_MS);
    return [...days].filter(
      (day) =>
        !this.settled.has(day) && day >= today - PAST_DAYS && day <= today + Math.max(1, this.aheadDays),
    );
  }

  async create(client: pg.ClientBase, days: readonly number[]): Promise<void> {
    for (const day of days) {
      await this.createOne(client, day);
      this.settled.add(day);
    }
  }

  private async createOne(client: pg.ClientBase, day: number): Promise<void> {
    const { table } = this;
    const name = `${table}_${dayText(day).replaceAll('-', '')}`;
    const { rows } = await client.query('SELECT to_regclass($1) IS NOT NULL AS exists', [name]);
    if (rows[0].exists === true) return;
    try {
      await client.query(
        `${LOCK_BRIEFLY};
         CREATE TABLE ${name} PARTITION OF ${table}
         FOR VALUES FROM ('${dayText(day)}T00:00:00Z') TO ('${dayText(day + 1)}T00:00:00Z')`,
      );
      this.logger.info({ partition: name }, 'partition created');
    } catch (error) {
      const code = error instanceof pg.DatabaseError ? error.code : undefined;
      if (code === CHECK_VIOLATION)
        this.logger.warn(
          { day: dayText(day) },
          `${table}_default holds metrics of this day: it gets no partition of its own`,
        );
      // Somebody made partitions of other lengths.
      else if (code !== DUPLICATE_TABLE && code !== INVALID_OBJECT) throw error;
    }
  }

  /** Drops partitions whose metrics are all older, and deletes older metrics of the default partition. */
  async dropOlder(client: pg.ClientBase, retentionMs: number): Promise<void> {
    const { table } = this;
    const cutoffMs = (await agreedMs(client)) - retentionMs;
    const cutoff = new Date(Math.floor(cutoffMs / DAY_MS) * DAY_MS).toISOString();
    const { rows } = await client.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = $1::regclass AND c.relname ~ ('^' || $2 || '_[0-9]{8}$')
         AND to_date(right(c.relname, 8), 'YYYYMMDD') < $3::timestamptz::date
       ORDER BY 1`,
      [table, table, cutoff],
    );
    // First the mark, so that verify does not report the dropped metrics as missing.
    await client.query('UPDATE ms_schema SET dropped_before = greatest(dropped_before, $1)', [cutoff]);
    for (const { name } of rows) {
      // Workers of consume end retention at the same time.
      await client.query(`${LOCK_BRIEFLY}; DROP TABLE IF EXISTS ${name}`);
      this.logger.info({ partition: name }, 'partition dropped by --retention');
    }
    await client.query(`DELETE FROM ${table}_default WHERE time < $1`, [cutoff]);
  }
}

/** The time, if this machine and the database agree about it. @throws SinkError */
async function agreedMs(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ ms: string }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8 AS ms',
  );
  const nowMs = Date.now();
  const theirsMs = Number(rows[0]?.ms);
  if (Math.abs(theirsMs - nowMs) <= CLOCKS_APART_MAX_MS) return Math.min(theirsMs, nowMs);
  const [here, there] = [nowMs, theirsMs].map((ms) => new Date(ms).toISOString());
  throw new SinkError(
    'fatal',
    `the clock here shows ${here}, that of the database ${there}: correct the wrong one`,
  );
}
