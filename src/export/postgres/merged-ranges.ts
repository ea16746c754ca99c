/**
 * Compares ranges that `ms_applied` has merged, or that a dump restored: their rows have lost their transactions, so they
 * are what no transaction of the ledger accounts for.
 */
import type pg from 'pg';
import type { RangeSum } from './range-sum.ts';

/** Metrics in such ranges. */
export interface MergedMetrics {
  readonly own: number;
  readonly others: number;
}

export async function readMergedMetrics(client: pg.ClientBase, log: string): Promise<MergedMetrics> {
  const { rows } = await client.query<{ own: string; others: string }>(
    `SELECT coalesce(sum(metrics) FILTER (WHERE log = $1), 0) AS own,
            coalesce(sum(metrics) FILTER (WHERE log <> $1), 0) AS others
     FROM ms_applied WHERE ranges > 1`,
    [log],
  );
  return { own: Number(rows[0]?.own ?? 0), others: Number(rows[0]?.others ?? 0) };
}

export interface MergedComparison {
  readonly metrics: MergedMetrics;
  /** Of the log; null if it does not have all commits of these ranges any more. */
  readonly log: RangeSum | null;
  /** Rows of no transaction that is in the ledger. */
  readonly rest: RangeSum;
  /** Retention has dropped some of the rows. */
  readonly isReduced: boolean;
}

/** How the rows differ from merged ranges, or null. Where the log or another log's rows hide it, only their number counts. */
export function mergedDifference({ metrics, log, rest, isReduced }: MergedComparison): string | null {
  const { own, others } = metrics;
  if (own > 0 && others === 0 && log !== null) return log.difference(rest);
  const most = own + others;
  if (rest.count > most) return `${rest.count - most} metrics come from no commit of a log`;
  if (rest.count < most && !isReduced)
    return `the sink lacks ${most - rest.count} of ${most} metrics of merged or restored ranges`;
  return null;
}
