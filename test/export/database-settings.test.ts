/** Databases as operators set them up: defaults of roles, encodings, TLS, passwords, settings in the URL, a pooler in front. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { makeCertificate } from '../support/certificates.ts';
import { onEnd, suiteOwner } from '../support/clean-up.ts';
import { type Recorded, record } from '../support/damage.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { assertSame, init, initArgs } from '../support/pipeline.ts';
import { type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';
import { runCli, startCli, temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const DIRECTORY_MODE = 0o755;
/** A database administrator may have set each of them. */
const ODD_DEFAULTS = [
  "default_transaction_isolation = 'repeatable read'",
  'synchronous_commit = off',
  'statement_timeout = 1',
  'lock_timeout = 1',
  'idle_in_transaction_session_timeout = 1',
  "datestyle = 'SQL, DMY'",
  "intervalstyle = 'sql_standard'",
  "timezone = 'Asia/Kathmandu'",
  'bytea_output = escape',
  'extra_float_digits = -15',
  'standard_conforming_strings = off',
  'client_min_messages = debug1',
  'enable_seqscan = off',
];

describe('a database with settings of its own', { skip: requirePostgres() }, () => {
  const owner = suiteOwner();
  let postgres: Postgres;
  let cert = '';
  let recorded: Recorded;
  before(async () => {
    const directory = temporaryDirectory(owner);
    const files = makeCertificate(directory, 'database');
    cert = files.cert;
    if (process.getuid?.() === 0) execFileSync('chown', ['postgres', files.key]);
    chmodSync(directory, DIRECTORY_MODE);
    postgres = await startPostgres(owner, ['ssl=on', `ssl_cert_file=${cert}`, `ssl_key_file=${files.key}`]);
    recorded = await record([3, 200, 1], [5]);
    onEnd(owner, () => rmSync(recorded.dataDir, { recursive: true, force: true }));
  });

  const exportArgs = (url: string): string[] => [
    'export',
    '--to',
    url,
    '--data-dir',
    recorded.dataDir,
    '--once',
  ];

  async function assertShips(url: string): Promise<void> {
    const { code, stdout, stderr } = await runCli(exportArgs(url));
    assert.equal(code, 0, stdout + stderr);
    await assertSame({ url }, recorded.dataDir);
  }

  async function assertEnds(url: string, reason: RegExp): Promise<void> {
    const { code, stderr } = await runCli(exportArgs(url));
    assert.equal(code, 1, stderr);
    assert.match(stderr, reason);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  }

  it('gets every metric whatever the defaults of the role are', async () => {
    await postgres.query('CREATE ROLE odd SUPERUSER LOGIN');
    for (const setting of ODD_DEFAULTS) await postgres.query(`ALTER ROLE odd SET ${setting}`);
    const url = (await postgres.createDatabase('odd')).replace('postgres@', 'odd@');
    await init(url);
    await assertShips(url);
    const { code, stderr } = await runCli([...exportArgs(url), '--from', '2']);
    assert.equal(code, 0, stderr);
    await assertSame({ url }, recorded.dataDir);
  });

  it('gets settings from the URL beside those of the program, which names itself', async (t) => {
    const url = await postgres.createDatabase('schemas');
    await postgres.queryOn(url, 'CREATE SCHEMA metrics');
    const own = `${url}?options=${encodeURIComponent('-c search_path=metrics -c timezone=Asia/Kathmandu')}`;
    await init(own);
    await assertShips(own);
    const [row] = await postgres.queryOn(url, "SELECT to_regclass('metrics.ms_sample') IS NOT NULL AS found");
    assert.deepEqual(row, { found: true });
    startCli(
      t,
      exportArgs(own).filter((argument) => argument !== '--once'),
    );
    await eventually('it is in the list of connections', async () => {
      const rows = await postgres.query(
        "SELECT FROM pg_stat_activity WHERE application_name = 'metricsstream export' AND datname = 'schemas'",
      );
      return rows.length > 0;
    });
  });

  it('is refused with an encoding that lacks characters', async () => {
    await postgres.query("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    const url = postgres.urlOf('latin');
    const { code, stderr } = await runCli(initArgs(url));
    assert.equal(code, 1);
    assert.match(
      stderr,
      /has the encoding LATIN1, which cannot store every name and tag: .* createdb -E UTF8\n$/,
    );
    await assertEnds(url, /has the encoding LATIN1/);
  });

  it('may have the encoding SQL_ASCII', async () => {
    await postgres.query("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    const url = postgres.urlOf('bytes');
    await init(url);
    await assertShips(url);
  });

  it('with TLS is trusted by sslrootcert, and refused with one line without it', async () => {
    const url = await postgres.createDatabase('tls');
    await init(url);
    await assertEnds(
      `${url}?sslmode=verify-full`,
      /self-signed certificate: name it, or its authority, with sslrootcert=FILE/,
    );
    await assertEnds(`${url}?sslmode=verify-full&sslrootcert=/missing.crt`, /missing\.crt/);
    await assertShips(`${url}?sslmode=verify-full&sslrootcert=${encodeURIComponent(cert)}`);
  });

  it('ends export with one line while the password is missing or wrong', async () => {
    const url = (await postgres.createDatabase('secret')).replace('postgres@', 'keeper@');
    await postgres.query("CREATE ROLE keeper SUPERUSER LOGIN PASSWORD 'right'");
    const path = join(postgres.dataDir, 'pg_hba.conf');
    const rules = readFileSync(path, 'utf8');
    writeFileSync(path, `host all keeper 127.0.0.1/32 scram-sha-256\n${rules}`);
    await postgres.query('SELECT pg_reload_conf()');
    await assertEnds(url, /password must be a .*: set PGPASSWORD, or add the password to ~\/\.pgpass$/m);
    await assertEnds(
      url.replace('keeper@', 'keeper:wrong@'),
      /password authentication failed .*: set PGPASSWORD/,
    );
    const right = url.replace('keeper@', 'keeper:right@');
    await init(right);
    await assertShips(right);
  });

  it('behind PgBouncer gets every metric, each transaction in another session', {
    skip: requireTool('pgbouncer'),
  }, async (t) => {
    await init(postgres.url);
    const refused = await startPgBouncer(t, postgres, 'extra_float_digits');
    await assertEnds(
      refused,
      /unsupported startup parameter: options: add it to ignore_startup_parameters of PgBouncer/,
    );
    const url = await startPgBouncer(t, postgres, 'extra_float_digits, options');
    await init(url);
    await assertShips(url);
  });
});
