/** Which tables a database has: reads, creates and checks them. */
import pg from 'pg';
import type { Logger } from '../../base/log.ts';
import { SinkError } from '../sink.ts';
import { LAYOUTS, type Layout, metricsTable, SCHEMA_VERSION, schemaText, UPGRADES } from './schema.ts';

export interface SchemaState {
  readonly layout: Layout;
  /** Unix ms; -Infinity while retention has dropped nothing. */
  readonly droppedBeforeMs: number;
}

const UNDEFINED_TABLE = '42P01';
/** A table or column is there already. */
const DUPLICATES: readonly string[] = ['42P07', '42701'];
/** Of several `--init` at once, one after the other looks. */
const LOCK_INIT = `SELECT pg_advisory_xact_lock(hashtext('metricsstream --init'), 0)`;
/** Others lack characters of names and tags. SQL_ASCII keeps bytes as they are. */
const ENCODINGS: readonly string[] = ['UTF8', 'SQL_ASCII'];

async function checkEncoding(client: pg.ClientBase, place: string): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>('SHOW server_encoding');
  const encoding = rows[0]?.server_encoding ?? '';
  if (ENCODINGS.includes(encoding)) return;
  throw new SinkError(
    'fatal',
    `${place}: has the encoding ${encoding}, which cannot store every name and tag: create a database with createdb -E UTF8`,
  );
}

/** @throws SinkError if the tables are missing, or have another version or layout */
export async function readSchema(
  client: pg.ClientBase,
  place: string,
  wanted: Layout | null,
): Promise<SchemaState> {
  await checkEncoding(client, place);
  const found = await findSchema(client);
  if (found === null)
    throw new SinkError('fatal', `${place}: has no tables of metricsstream: create them with --init`);
  const { version, layout, droppedBeforeMs } = found;
  if (version !== SCHEMA_VERSION)
    throw new SinkError(
      'fatal',
      `${place}: has tables of version ${version}, this program works with version ${SCHEMA_VERSION}: ` +
        (version > SCHEMA_VERSION ? 'update metricsstream' : 'upgrade them with --init'),
    );
  const known = LAYOUTS.find((name) => name === layout);
  if (known === undefined || (wanted !== null && wanted !== known))
    throw new SinkError(
      'fatal',
      `${place}: has the layout ${layout}: leave --layout out, or use another database`,
    );
  return { layout: known, droppedBeforeMs };
}

interface FoundSchema {
  readonly version: number;
  readonly layout: string;
  readonly droppedBeforeMs: number;
}

async function findSchema(client: pg.ClientBase): Promise<FoundSchema | null> {
  try {
    const { rows } = await client.query<FoundSchema>(
      `SELECT version, layout,
              CASE WHEN isfinite(dropped_before) THEN extract(epoch FROM dropped_before) * 1000
                   ELSE '-Infinity' END::float8 AS "droppedBeforeMs"
       FROM ms_schema`,
    );
    return rows[0] ?? null;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === UNDEFINED_TABLE) return null;
    throw error;
  }
}

/** Warns of tables that PostgreSQL empties after its crash: somebody has made them faster so, and would lose metrics. */
export async function warnOfUnlogged(client: pg.ClientBase, layout: Layout, logger: Logger): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class
     WHERE relpersistence = 'u' AND relkind = 'r'
       AND (oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS t (name))
            OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass($2)))
     ORDER BY 1`,
    [['ms_schema', 'ms_cursor', 'ms_applied', 'ms_quarantine', 'ms_series'], metricsTable(layout)],
  );
  if (rows.length === 0) return;
  const names = rows.map(({ name }) => name).join(', ');
  logger.warn(`a crash of the database empties ${names}: ALTER TABLE … SET LOGGED, then run verify --sink`);
}

/** Creates or upgrades the tables in one transaction. Returns what it did. */
export async function createSchema(
  client: pg.ClientBase,
  place: string,
  layout: Layout | null,
): Promise<'created' | 'upgraded' | 'found'> {
  await checkEncoding(client, place);
  const found = await findSchema(client);
  const isOld = found !== null && found.version < SCHEMA_VERSION;
  let done: 'created' | 'upgraded' | 'found' = 'found';
  if (found === null) done = await change(client, schemaText(layout ?? 'series'), 'created');
  else if (isOld) {
    const steps = UPGRADES.slice(found.version - 1).join('\n');
    const text = `${steps}\nUPDATE ms_schema SET version = ${SCHEMA_VERSION};`;
    done = await change(client, text, 'upgraded');
  }
  await readSchema(client, place, layout);
  return done;
}

async function change<Done>(client: pg.ClientBase, text: string, done: Done): Promise<Done | 'found'> {
  try {
    await client.query(`BEGIN;\n${LOCK_INIT};\n${text}\nCOMMIT`);
    return done;
  } catch (error) {
    await client.query('ROLLBACK');
    if (!(error instanceof pg.DatabaseError && DUPLICATES.includes(error.code ?? ''))) throw error;
    // Another `--init` was faster, unless the name belongs to somebody else.
    if ((await findSchema(client)) === null) throw error;
    return 'found';
  }
}
