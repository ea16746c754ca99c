/** Asks a data directory as `metricsstream query` does, within the test's own process. */
import type { DuckDBValue } from '@duckdb/node-api';
import { openSession, prepareQuery, type SessionOptions } from '../../src/query/session.ts';
import type { LeftOut } from '../../src/query/snapshot.ts';
import type { Owner } from './clean-up.ts';
import { temporaryDirectory } from './server-process.ts';

export interface Asked {
  readonly rows: readonly (readonly DuckDBValue[])[];
  readonly leftOut: LeftOut;
}

export const TEST_LIMITS = {
  maxMemoryBytes: 256 << 20,
  threads: 2,
  spillDirectory: '',
  spillBytes: 0,
} as const;

/**
 * @param changed options that differ from the usual ones
 * @returns a function that takes a new snapshot for each statement
 */
export function asker(
  owner: Owner,
  dataDir: string,
  changed: Partial<SessionOptions> = {},
): (sql: string) => Promise<Asked> {
  const temporary = temporaryDirectory(owner, 'metricsstream-query-');
  const range = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };
  return async (sql) => {
    const options = { dataDir, temporaryDirectory: temporary, ...range, limits: TEST_LIMITS, ...changed };
    const session = await openSession(options);
    try {
      const prepared = await prepareQuery(session.connection, sql);
      const result = await prepared.runAndReadAll();
      return { rows: result.getRows(), leftOut: session.snapshot.leftOut };
    } finally {
      session.close();
    }
  };
}
