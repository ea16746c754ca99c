/** A PostgreSQL server of a test's own: its data in a temporary directory, its port free, no password. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../load-test/free-port.ts';
import { initTables } from '../../src/export/postgres/init.ts';
import type { PostgresOptions } from '../../src/export/postgres/options.ts';
import type { Layout } from '../../src/export/postgres/schema.ts';
import { EVENT_TIMEOUT_MS, eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { temporaryDirectory } from './server-process.ts';

const INSTALLED = '/usr/lib/postgresql';
const MIN_VERSION = 14;
/** initdb and postgres refuse to run as root. */
const USER = 'postgres';

/** The directory of the newest version's programs, or null. */
function programs(): string | null {
  if (!fs.existsSync(INSTALLED)) return null;
  const versions = fs
    .readdirSync(INSTALLED)
    .map(Number)
    .filter((version) => version >= MIN_VERSION);
  return versions.length === 0 ? null : join(INSTALLED, String(Math.max(...versions)), 'bin');
}

/** For node:test's `skip` option, as `requireTool`. */
export function requirePostgres(): string | false {
  if (programs() !== null) return false;
  const reason = 'postgres is not installed (Debian package postgresql)';
  if (process.env.METRICSSTREAM_REQUIRE_TOOLS === '1') throw new Error(reason);
  return reason;
}

export const asPostgresUser = (
  wrapper: readonly string[],
  command: readonly string[],
): [string, string[]] => {
  const switching =
    process.getuid?.() === 0 ? ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--init-groups'] : [];
  const [file = '', ...args] = [...wrapper, ...switching, ...command];
  return [file, args];
};

/** The defaults of `export`. */
export const POSTGRES_DEFAULTS: PostgresOptions = {
  layout: null,
  pool: 2,
  connectTimeoutMs: 180_000,
  statementTimeoutMs: 180_000,
  synchronousCommit: 'on',
  seriesCache: 65_536,
  seriesPerName: 100_000,
  partitionDays: 3,
  retentionMs: 0,
  ledgerAgeMs: 0,
};

interface Place {
  /** In it the server has its data; default: a temporary directory. */
  readonly directory?: string;
  /** A command that runs its arguments, such as `nsenter …`. */
  readonly wrapper?: readonly string[];
}

export class Postgres {
  readonly port: number;
  readonly url: string;
  readonly dataDir: string;
  private readonly settings: readonly string[];
  private readonly wrapper: readonly string[];
  private server: ChildProcess | null = null;
  private databases = 0;

  constructor(dataDir: string, port: number, settings: readonly string[], wrapper: readonly string[]) {
    this.dataDir = dataDir;
    this.port = port;
    this.settings = settings;
    this.wrapper = wrapper;
    this.url = `postgres://${USER}@127.0.0.1:${port}/postgres`;
  }

  async start(): Promise<void> {
    const settings = ['fsync=off', 'autovacuum=off', 'unix_socket_directories=', ...this.settings];
    const options = settings.flatMap((setting) => ['-c', setting]);
    const [file, args] = asPostgresUser(this.wrapper, [
      join(programs()!, 'postgres'),
      '-D',
      this.dataDir,
      '-p',
      String(this.port),
      '-h',
      '127.0.0.1',
      ...options,
    ]);
    const server = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.server = server;
    let log = '';
    server.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    await eventually(`the database accepts connections:\n${log}`, () => this.accepts());
  }

  private async accepts(): Promise<boolean> {
    try {
      await this.query('SELECT 1');
      return true;
    } catch {
      return false;
    }
  }

  /** One statement on a connection of its own, to the first database. */
  query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.queryOn(this.url, text, values);
  }

  /** As `query`, to the database with that URL. */
  async queryOn<Row extends pg.QueryResultRow>(
    url: string,
    text: string,
    values: unknown[] = [],
  ): Promise<Row[]> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: EVENT_TIMEOUT_MS });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** SIGQUIT: all processes end at once, without a checkpoint. SIGINT: orderly. */
  async stop(signal: 'SIGQUIT' | 'SIGINT' = 'SIGQUIT'): Promise<void> {
    const { server } = this;
    if (server === null) return;
    this.server = null;
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill(signal);
    await ended;
  }

  async restart(signal?: 'SIGQUIT' | 'SIGINT'): Promise<void> {
    await this.stop(signal);
    await this.start();
  }

  async createDatabase(name: string): Promise<string> {
    await this.query(`CREATE DATABASE ${name}`);
    return this.urlOf(name);
  }

  /** A new database with the tables of `export`. */
  async createTables(layout: Layout = 'series'): Promise<string> {
    const url = await this.createDatabase(`tables${++this.databases}`);
    await initTables(new URL(url), { ...POSTGRES_DEFAULTS, layout });
    return url;
  }

  urlOf(database: string): string {
    return this.url.replace(/postgres$/, database);
  }
}

/** Starts a server that ends with `owner`. */
export async function startPostgres(
  owner: Owner,
  settings: readonly string[] = [],
  { directory = temporaryDirectory(owner, 'metricsstream-postgres-'), wrapper = [] }: Place = {},
): Promise<Postgres> {
  const isRoot = process.getuid?.() === 0;
  if (isRoot) run([...wrapper, 'chown', USER, directory]);
  const [file, args] = asPostgresUser(wrapper, [
    join(programs()!, 'initdb'),
    ...['-D', join(directory, 'data'), '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
  ]);
  run([file, ...args]);
  const postgres = new Postgres(join(directory, 'data'), await freePort(), settings, wrapper);
  onEnd(owner, () => postgres.stop());
  await postgres.start();
  return postgres;
}

function run([file = '', ...args]: readonly string[]): void {
  execFileSync(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
