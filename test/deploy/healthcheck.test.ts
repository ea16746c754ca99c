/** The image's health check finds the server however the server was configured. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../load-test/free-port.ts';
import { eventually } from '../support/assertions.ts';
import { makeCertificate } from '../support/certificates.ts';
import { deployPath } from '../support/deploy-files.ts';
import { NamespaceShell } from '../support/namespace-shell.ts';
import { namespaceRefusal } from '../support/namespaces.ts';
import { type ServerOptions, startServer, temporaryDirectory } from '../support/server-process.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** Distinguishes the servers of one test from all others on this machine, as a container would. */
let marks = 0;
const markOf = (): string => `${process.pid}-${++marks}`;

/** The options in the environment of a process; a health check in its container has the same. */
function environmentOf(pid: number): Record<string, string> {
  const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  const pairs = variables.map((variable) => variable.split(/=(.*)/s, 2) as [string, string]);
  return Object.fromEntries(pairs.filter(([name]) => name.startsWith('METRICSSTREAM_')));
}

const CHECK = deployPath('docker', 'healthcheck.mjs');
/** A thread may wait that long for its turn or for the disk on a busy machine; the check's own limit is 2 s. */
const PATIENT_MS = '20000';

/** The exit code of the check in this environment, and its output. */
function check(
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [PATIENT_MS],
): Promise<{ code: number; output: string }> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('METRICSSTREAM_'));
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [CHECK, ...args],
      { env: { ...Object.fromEntries(inherited), ...env } },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
      },
    );
  });
}

describe('the health check', () => {
  const cases: readonly (readonly [
    string,
    (t: Parameters<typeof temporaryDirectory>[0]) => ServerOptions,
  ])[] = [
    ['a port that the kernel picked', () => ({})],
    ['an address by flag', () => ({ args: ['--host', '0.0.0.0'] })],
    ['an IPv6 address', () => ({ args: ['--host', '::'] })],
    [
      'variables that a platform injected',
      () => ({ env: { METRICSSTREAM_PORT: 'tcp://10.0.0.1:8080', METRICSSTREAM_TLS_CERT: '' } }),
    ],
    [
      'a configuration file',
      (t) => {
        const file = join(temporaryDirectory(t), 'config.json');
        writeFileSync(file, JSON.stringify({ host: '0.0.0.0', workers: 1 }));
        return { env: { METRICSSTREAM_CONFIG: file } };
      },
    ],
    [
      'HTTPS by flag, and tokens',
      (t) => {
        const directory = temporaryDirectory(t);
        const { cert, key } = makeCertificate(directory, 'health.test');
        const tokens = join(directory, 'tokens');
        writeFileSync(tokens, 'web correct-horse-battery-staple\n', { mode: 0o600 });
        return { args: ['--tls-cert', cert, '--tls-key', key, '--tokens-file', tokens] };
      },
    ],
  ];
  for (const [how, optionsOf] of cases) {
    it(`passes with ${how}, and fails once the server has ended`, async (t) => {
      const options = optionsOf(t);
      const env = { ...options.env, METRICSSTREAM_TEST_MARK: markOf() };
      const server = await startServer(t, {
        ...options,
        args: ['--workers', '1', ...(options.args ?? [])],
        env,
      });
      const environment = environmentOf(server.pid);
      const { code, output } = await check(environment);
      assert.equal(code, 0, output);
      await server.stop();
      assert.equal((await check({ ...environment, METRICSSTREAM_PORT: String(await freePort()) })).code, 1);
    });
  }

  describe('in a process namespace of its own', { skip: namespaceRefusal() ?? false }, () => {
    /** A shell as process 1, with a variable or without, and a server that a child of it starts with another one. */
    async function open(t: TestContext, own: readonly string[]) {
      const directory = temporaryDirectory(t);
      const log = join(directory, 'log');
      const shell = await NamespaceShell.open(t, [
        ...['--pid', '--fork', '--kill-child', '--mount-proc'],
        ...['env', '-u', 'METRICSSTREAM_TEST_MARK', ...own],
      ]);
      const serve = `${process.execPath} ${MAIN} serve --port 0 --workers 1 --data-dir ${directory}/data --log-file ${log}`;
      // The subshell ends, so that process 1 adopts the server, as it adopts any orphan.
      await shell.run(`(METRICSSTREAM_TEST_MARK=wrapped ${serve} >/dev/null 2>&1 &)`);
      await eventually('the server listens', () => {
        return existsSync(log) && readFileSync(log, 'utf8').includes('"listening"');
      });
      return shell;
    }
    const command = `${process.execPath} ${CHECK} ${PATIENT_MS}`;

    it('finds a server whose variables a wrapper has changed', async (t) => {
      const shell = await open(t, [`METRICSSTREAM_TEST_MARK=${markOf()}`, 'METRICSSTREAM_PORT=1']);
      await shell.run(command);
    });

    it('ignores the server of another, which process 1 of a machine has adopted', async (t) => {
      const shell = await open(t, []);
      const nobody = `METRICSSTREAM_TEST_MARK=${markOf()} METRICSSTREAM_PORT=${await freePort()}`;
      await assert.rejects(shell.run(`${nobody} ${command}`), /unhealthy: connect ECONNREFUSED/);
      await shell.run(`METRICSSTREAM_TEST_MARK=wrapped ${command}`);
    });
  });

  it('fails with one line if the server has stopped answering', async (t) => {
    const env = { METRICSSTREAM_TEST_MARK: markOf() };
    const server = await startServer(t, { args: ['--workers', '1'], env });
    server.kill('SIGSTOP');
    const { code, output } = await check(environmentOf(server.pid), []);
    server.kill('SIGCONT');
    assert.equal(code, 1);
    assert.match(output, /^unhealthy: [^\n]+ within 2000 ms\n$/);
  });
});
