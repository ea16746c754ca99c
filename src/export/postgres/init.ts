/** `export --init`: creates the tables and the first partitions. */
import { pino } from 'pino';
import { createPool, placeOf, sinkError } from './connection.ts';
import type { PostgresOptions } from './options.ts';
import { Partitions } from './partitions.ts';
import { withClient } from './row-store.ts';
import { metricsTable, SCHEMA_VERSION } from './schema.ts';
import { createSchema, readSchema } from './schema-state.ts';

/** Safe to repeat. Returns what it did. @throws SinkError */
export async function initTables(url: URL, options: PostgresOptions): Promise<string> {
  const place = placeOf(url);
  const pool = createPool(url, options, 'metricsstream export --init');
  try {
    return await withClient(pool, async (client) => {
      const done = await createSchema(client, place, options.layout);
      const { layout } = await readSchema(client, place, options.layout);
      const partitions = new Partitions(
        metricsTable(layout),
        options.partitionDays,
        pino({ level: 'silent' }),
      );
      const now = Date.now();
      await partitions.create(client, partitions.missing(partitions.upcoming(now), now));
      const tables = `the tables${done === 'upgraded' ? ' to' : ' of'} version ${SCHEMA_VERSION} with the layout ${layout}`;
      return `${place}: ${done === 'found' ? 'already has' : done} ${tables}`;
    });
  } catch (error) {
    throw sinkError(place, error);
  } finally {
    await pool.end();
  }
}
