/**
 * Daily partitions: made before their metrics come, and dropped when retention ends.
 *
 * Days far from now go to the default partition, so that one wrong clock does not make a thousand tables. Creating the
 * partition of a day fails while the default partition holds metrics of that day: those stay where they are.
 */
import pg from 'pg';
import type { Logger } from '../../base/log.ts';
import { DAY_MS } from './rows.ts';

/** Older days share the default partition. */
const PAST_DAYS = 400;
/** Creating a partition locks the default one; other sessions may hold it for long. */
const LOCK_TIMEOUT_MS = 2_000;
const CHECK_VIOLATION = '23514';
const DUPLICATE_TABLE = '42P07';

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
        `SET lock_timeout = ${LOCK_TIMEOUT_MS};
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
      else if (code !== DUPLICATE_TABLE) throw error;
    } finally {
      await client.query('SET lock_timeout = 0').catch(() => {});
    }
  }

  /** Drops partitions whose metrics are all older, and deletes older metrics of the default partition. */
  async dropBefore(client: pg.ClientBase, cutoffMs: number): Promise<void> {
    const { table } = this;
    const cutoff = new Date(Math.floor(cutoffMs / DAY_MS) * DAY_MS).toISOString();
    const { rows } = await client.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = $1::regclass AND c.relname ~ ('^' || $2 || '_\\d{8}$')
         AND to_date(right(c.relname, 8), 'YYYYMMDD') < $3::timestamptz::date
       ORDER BY 1`,
      [table, table, cutoff],
    );
    // First the mark, so that verify does not report the dropped metrics as missing.
    await client.query('UPDATE ms_schema SET dropped_before = greatest(dropped_before, $1)', [cutoff]);
    for (const { name } of rows) {
      // Workers of consume end retention at the same time.
      await client.query(`DROP TABLE IF EXISTS ${name}`);
      this.logger.info({ partition: name }, 'partition dropped by --retention');
    }
    await client.query(`DELETE FROM ${table}_default WHERE time < $1`, [cutoff]);
  }
}
