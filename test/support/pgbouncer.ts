/** PgBouncer in front of a test's PostgreSQL: each transaction gets another session of its few. */
import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../load-test/free-port.ts';
import { eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { asPostgresUser, type Postgres } from './postgres.ts';
import { temporaryDirectory } from './server-process.ts';
import { PATH_WITH_SYSTEM } from './tools.ts';

const CONFIG_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/**
 * Returns the URL of the database behind it.
 * @param ignored startup parameters that it accepts and drops
 */
export async function startPgBouncer(owner: Owner, postgres: Postgres, ignored: string): Promise<string> {
  const directory = temporaryDirectory(owner, 'metricsstream-pgbouncer-');
  chmodSync(directory, DIRECTORY_MODE);
  const port = await freePort();
  const path = join(directory, 'pgbouncer.ini');
  writeFileSync(
    path,
    `[databases]
metrics = host=127.0.0.1 port=${postgres.port} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
ignore_startup_parameters = ${ignored}
`,
    { mode: CONFIG_MODE },
  );
  const [file, args] = asPostgresUser([], ['pgbouncer', path]);
  const child = spawn(file, args, {
    env: { ...process.env, PATH: PATH_WITH_SYSTEM },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  onEnd(owner, async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await eventually(`pgbouncer listens\n${log}`, () => accepts(port));
  return `postgres://metrics@127.0.0.1:${port}/metrics`;
}
