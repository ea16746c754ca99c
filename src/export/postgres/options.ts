/** The settings of the PostgreSQL sink. */
import type { Layout } from './schema.ts';

export interface PostgresOptions {
  /** For `--init`: the layout to create. Null otherwise: the tables say which one they have. */
  readonly layout: Layout | null;
  /** Connections at most. */
  readonly pool: number;
  readonly connectTimeoutMs: number;
  /** Of one statement; the client waits a little longer for its answer. */
  readonly statementTimeoutMs: number;
  readonly synchronousCommit: 'on' | 'off';
  /** Series that are remembered. */
  readonly seriesCache: number;
  /** Series of one metric name; further ones go to the quarantine. 0: no limit. */
  readonly seriesPerName: number;
  /** Partitions are made so many days ahead. */
  readonly partitionDays: number;
  /** Partitions whose metrics are all older are dropped; 0 keeps all. */
  readonly retentionMs: number;
  /** Ranges of `ms_applied` that are older are merged; 0 keeps each. */
  readonly ledgerAgeMs: number;
}
