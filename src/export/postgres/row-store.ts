/** From lines of the log to rows of either layout: shared by everything that writes metrics to PostgreSQL. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Registry } from 'prom-client';
import type { Logger } from '../../base/log.ts';
import { TURN_BYTES } from '../range-source.ts';
import { flatChunks, flatPayload, seriesChunks } from './copy-format.ts';
import { requireAll } from './kept-out.ts';
import { mergeLedger } from './ledger-merge.ts';
import type { PostgresOptions } from './options.ts';
import { Partitions } from './partitions.ts';
import { type CommitLines, type NewSeries, Rows, scanCommit } from './rows.ts';
import { type Layout, metricsTable } from './schema.ts';
import { SeriesCache } from './series-cache.ts';
import { exposeSeries } from './series-metrics.ts';
import { SeriesTable, settleRows, unstorable } from './series-table.ts';

const COPY: Readonly<Record<Layout, string>> = {
  series: 'COPY ms_sample (time, series_id, value) FROM STDIN (FORMAT binary)',
  flat: 'COPY ms_flat (time, value, name, type, tags) FROM STDIN (FORMAT binary)',
};
/** Chunks of 256 KiB that wait for the socket. */
const CHUNKS_AHEAD = 4;

const LOCK_NOT_AVAILABLE = '55P03';

/** Partitions are made days ahead. */
const UPKEEP_MS = 60_000;
const UPKEEP_RETRY_MS = 1_000;
/** Metrics wait behind a try that waits for a lock. */
const LOCK_RETRY_MS = 10_000;
/** Retention works by the day. */
const RETENTION_MS = 3_600_000;
/** Merging reads all younger rows of the ledger. */
const LEDGER_MS = 3_600_000;

/** The flat layout caches the encoded columns of a series in place of an id. */
const FLAT_MAKER = {
  make(cache: SeriesCache, slot: number, { name, type, tags }: NewSeries): void {
    const reason = unstorable(name, tags);
    cache.ids[slot] = reason === null ? 1 : 0;
    cache.setPayload(slot, reason ?? flatPayload(name, type, tags));
  },
};

export interface RowStoreParts {
  readonly layout: Layout;
  readonly options: PostgresOptions;
  readonly logger: Logger;
  readonly registry: Registry;
}

export class RowStore {
  readonly layout: Layout;
  private readonly options: PostgresOptions;
  private readonly cache: SeriesCache;
  private readonly series: SeriesTable;
  private readonly partitions: Partitions;
  /** Of the database that the cache describes. */
  private identity = '';
  private nextUpkeepMs = 0;
  /** Of the last try; thrown until the next one. */
  private upkeepError: Error | null = null;
  private nextRetentionMs = 0;
  private nextLedgerMs = 0;

  constructor({ layout, options, logger, registry }: RowStoreParts) {
    this.layout = layout;
    this.options = options;
    this.cache = new SeriesCache(options.seriesCache);
    this.series = new SeriesTable(options.seriesPerName, logger);
    this.partitions = new Partitions(metricsTable(layout), options.partitionDays, logger);
    exposeSeries(registry, this.cache, this.series);
  }

  /** At each connection: the database may be another one, or have lost its last transactions. */
  forget(identity: string): void {
    this.identity = identity;
    this.cache.clear();
    this.partitions.reset();
    this.nextUpkeepMs = 0;
    this.upkeepError = null;
  }

  /** Whether rows that were prepared fit the database with this identity. */
  describes(identity: string): boolean {
    return identity === this.identity;
  }

  /** The rows of commits, with the series and partitions that they need. Runs one at a time. */
  async prepare(pool: pg.Pool, commits: readonly CommitLines[], lineCount: number): Promise<Rows> {
    const { cache, series, layout, partitions } = this;
    const rows = new Rows(lineCount);
    const maker = layout === 'series' ? series : FLAT_MAKER;
    series.reset();
    let turnBytes = 0;
    for (const [index, commit] of commits.entries()) {
      turnBytes += commit.lines.length;
      if (turnBytes >= TURN_BYTES) {
        turnBytes = 0;
        await nextTurn();
      }
      scanCommit(rows, index, commit, cache, maker);
    }
    const days = partitions.missing(rows.days, Date.now());
    if (!series.hasWaiting && days.length === 0) return rows;
    await withClient(pool, async (client) => {
      await partitions.create(client, days);
      if (!series.hasWaiting) return;
      const ids = await series.resolve(client, cache);
      settleRows(rows, commits, ids, (number) => series.refusalOf(number));
    });
    return rows;
  }

  /** Copies rows, within the transaction that is open on `client`. */
  async copy(client: pg.ClientBase, log: string, rows: Rows): Promise<void> {
    if (rows.count > 0) {
      const chunks = this.layout === 'series' ? seriesChunks(rows) : flatChunks(rows);
      const source = Readable.from(chunks, { highWaterMark: CHUNKS_AHEAD });
      const copy = client.query(copyFrom(COPY[this.layout]));
      await pipeline(source, copy);
      requireAll(copy, rows.count, metricsTable(this.layout));
    }
    const { quarantined } = rows;
    if (quarantined.length === 0) return;
    const kept = await client.query(
      `INSERT INTO ms_quarantine (log, first_commit, last_commit, line, reason, body)
       SELECT $1, commit, commit, line, reason, body
       FROM unnest($2::int8[], $3::int[], $4::text[], $5::bytea[]) AS t (commit, line, reason, body)`,
      [
        log,
        quarantined.map(({ commit }) => commit),
        quarantined.map(({ line }) => line),
        quarantined.map(({ reason }) => reason),
        quarantined.map(({ body }) => body),
      ],
    );
    requireAll(kept, quarantined.length, 'ms_quarantine');
  }

  /** Makes all upkeep due. */
  expire(): void {
    this.nextUpkeepMs = this.nextRetentionMs = this.nextLedgerMs = 0;
  }

  /** Makes partitions ahead, ends retention and merges the ledger, where that is due: call it as often as you like. */
  async maintain(pool: pg.Pool): Promise<void> {
    if (performance.now() < this.nextUpkeepMs) {
      if (this.upkeepError !== null) throw this.upkeepError;
      return;
    }
    try {
      await withClient(pool, async (client) => {
        await this.keepPartitions(client);
        await this.keepLedger(client);
      });
      this.upkeepError = null;
      this.nextUpkeepMs = performance.now() + UPKEEP_MS;
    } catch (error) {
      this.upkeepError = error as Error;
      const { code } = error as pg.DatabaseError;
      this.nextUpkeepMs = performance.now() + (code === LOCK_NOT_AVAILABLE ? LOCK_RETRY_MS : UPKEEP_RETRY_MS);
      throw error;
    }
  }

  private async keepPartitions(client: pg.ClientBase): Promise<void> {
    const { partitions, options } = this;
    const now = Date.now();
    await partitions.create(client, partitions.missing(partitions.upcoming(now), now));
    if (options.retentionMs === 0 || performance.now() < this.nextRetentionMs) return;
    await partitions.dropOlder(client, options.retentionMs);
    this.nextRetentionMs = performance.now() + RETENTION_MS;
  }

  private async keepLedger(client: pg.ClientBase): Promise<void> {
    const { ledgerAgeMs } = this.options;
    if (ledgerAgeMs === 0 || performance.now() < this.nextLedgerMs) return;
    const hasMore = await mergeLedger(client, ledgerAgeMs);
    this.nextLedgerMs = hasMore ? 0 : performance.now() + LEDGER_MS;
  }
}

/** Runs `work` on a connection of the pool, which drops the connection if the work failed. */
export async function withClient<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  // A connection that breaks between two statements reports here; the next statement fails.
  const ignore = (): void => {};
  client.on('error', ignore);
  let failed = true;
  try {
    const result = await work(client);
    failed = false;
    return result;
  } finally {
    client.off('error', ignore);
    client.release(failed);
  }
}
