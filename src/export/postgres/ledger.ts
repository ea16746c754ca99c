/** Reads from the tables which transaction stored which commits, and the sums of the rows of each transaction. */
import type pg from 'pg';
import { RangeSum, sumColumns } from './range-sum.ts';
import { type Layout, metricsTable } from './schema.ts';

export interface AppliedRange {
  readonly first: number;
  readonly last: number;
  /** Of a large commit that came in parts, from 1; 0 for whole commits. */
  readonly part: number;
  readonly metrics: number;
  /** Several ranges whose transactions are forgotten. */
  readonly isMerged: boolean;
  /** Of its rows; a name of its own for a merged range. */
  readonly transaction: string;
}

/** All ranges of one log in order. */
export async function readRanges(client: pg.ClientBase, log: string): Promise<AppliedRange[]> {
  const { rows } = await client.query<
    Record<'first' | 'last' | 'metrics' | 'transaction', string> & { part: number; merged: boolean }
  >(
    `SELECT first_commit AS first, last_commit AS last, part, metrics, xmin AS transaction, ranges > 1 AS merged
     FROM ms_applied WHERE log = $1 ORDER BY first_commit, part`,
    [log],
  );
  return rows.map(({ first, last, part, metrics, merged, transaction }) => ({
    first: Number(first),
    last: Number(last),
    part,
    metrics: Number(metrics),
    isMerged: merged,
    transaction: merged ? `merged ${first}` : transaction,
  }));
}

/** Metrics of each transaction that stored ranges of other logs. */
export async function otherTransactions(client: pg.ClientBase, log: string): Promise<Map<string, number>> {
  const { rows } = await client.query<{ transaction: string; metrics: string }>(
    `SELECT xmin::text AS transaction, sum(metrics) AS metrics FROM ms_applied
     WHERE log <> $1 AND ranges = 1 GROUP BY 1`,
    [log],
  );
  return new Map(rows.map(({ transaction, metrics }) => [transaction, Number(metrics)]));
}

/** The sums of the rows of each transaction. One pass over all metrics. */
export async function readSums(client: pg.ClientBase, layout: Layout): Promise<Map<string, RangeSum>> {
  const table = metricsTable(layout);
  const hasSeries = layout === 'series';
  const source = hasSeries ? `${table} m JOIN ms_series s ON s.id = m.series_id` : `${table} m`;
  const { rows } = await client.query<
    Record<'transaction' | 'count' | 'times' | 'values' | 'series' | 'hash', string>
  >(
    `SELECT m.xmin::text AS transaction, count(*) AS count, ${sumColumns(layout)}
     FROM ${source} WHERE time >= (SELECT dropped_before FROM ms_schema) GROUP BY m.xmin`,
  );
  return new Map(
    rows.map(({ transaction, count, times, values, series, hash }) => {
      const read = new RangeSum();
      read.addSums(Number(count), [times, values, series, hash].map(BigInt));
      return [transaction, read];
    }),
  );
}

export interface Quarantine {
  /** Lines by commit. */
  readonly lines: ReadonlyMap<number, ReadonlySet<number>>;
  /** Damaged commits, as ranges. */
  readonly damaged: readonly { readonly first: number; readonly last: number }[];
}

export async function readQuarantine(client: pg.ClientBase, log: string): Promise<Quarantine> {
  const { rows } = await client.query<{ first: string; last: string; line: number | null }>(
    'SELECT first_commit AS first, last_commit AS last, line FROM ms_quarantine WHERE log = $1',
    [log],
  );
  const lines = new Map<number, Set<number>>();
  const damaged: { first: number; last: number }[] = [];
  for (const { first, last, line } of rows) {
    const commit = Number(first);
    if (line === null) damaged.push({ first: commit, last: Number(last) });
    else lines.set(commit, (lines.get(commit) ?? new Set()).add(line));
  }
  return { lines, damaged };
}
