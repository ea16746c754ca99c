/** Connections to real nats-servers with TLS and each kind of login; wrong ones end with one line that names the remedy. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { nkeys } from '@nats-io/transport-node';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { type CertificateFiles, makeCertificate } from '../support/certificates.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { createAccounts } from '../support/nats-accounts.ts';
import { type NatsOptions, startNats } from '../support/nats-server.ts';
import { assertSame, init, requirePipeline, untilRows } from '../support/pipeline.ts';
import { startPostgres } from '../support/postgres.ts';
import { post } from '../support/raw-http.ts';
import {
  type CliResult,
  runCli,
  startCli,
  startServer,
  temporaryDirectory,
} from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const tlsConfig = ({ cert, key }: CertificateFiles, more = ''): string =>
  `tls { cert_file: "${cert}", key_file: "${key}", timeout: 180${more} }\n`;

describe('NATS with TLS and logins', {
  concurrency: 3,
  skip: requireTool('nats-server') || requireTool('openssl'),
}, () => {
  const owner = suiteOwner();
  let directory: string;
  let own: CertificateFiles;
  let other: CertificateFiles;

  before(() => {
    directory = temporaryDirectory(owner);
    own = makeCertificate(directory, 'nats');
    other = makeCertificate(directory, 'other');
  });

  const fileOf = (name: string, content: string): string => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };
  const portOf = async (options: NatsOptions): Promise<number> => (await startNats(owner, options)).port;
  const initAt = (url: string, ...args: readonly string[]): Promise<CliResult> =>
    runCli(['export', '--init', '--to', url, ...args]);

  /** The command ended with this code and one line. */
  const assertRefused = ({ code, stderr }: CliResult, line: RegExp, expected = EXIT_FAILURE): void => {
    assert.equal(code, expected, stderr);
    assert.match(stderr, line);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  };

  it('ships metrics over TLS with user and password, and consumes them', {
    skip: requirePipeline(),
  }, async (t) => {
    const config = `${tlsConfig(own)}authorization { user: shipper, password: "p@ss:1", timeout: 180 }\n`;
    const [port, postgres, server] = await Promise.all([
      portOf({ config }),
      startPostgres(t),
      startServer(t, { args: ['--workers', '1'] }),
    ]);
    const url = `tls://shipper:p%40ss%3A1@127.0.0.1:${port}`;
    const ca = ['--nats-tls-ca', own.cert];
    const [{ code, stderr }] = await Promise.all([initAt(url, ...ca), init(postgres.url)]);
    assert.equal(code, 0, stderr);
    assertAccepted(await post(server.port, namesBody(uniqueName('tls'))), 1);
    const exporter = startCli(t, ['export', '--to', url, '--data-dir', server.dataDir, ...ca]);
    const consumer = startCli(t, ['consume', '--from', url, '--to', postgres.url, ...ca]);
    await untilRows(postgres, 1);
    await server.stop();
    await assertSame(postgres, server.dataDir);
    for (const process of [exporter, consumer]) {
      process.kill('SIGTERM');
      assert.deepEqual(await process.exited, { code: 0, signal: null }, process.lines.join('\n'));
      assert.ok(!process.lines.some((line) => line.includes('p@ss')), 'no password in the log');
    }
  });

  it('refuses certificates of an unknown authority or for another name, and servers without TLS', async () => {
    const [port, plain] = await Promise.all([portOf({ config: tlsConfig(own) }), portOf({})]);
    const url = `tls://127.0.0.1:${port}`;
    const trust = /certificate of NATS at 127\.0\.0\.1:\d+ is not accepted: .*--nats-tls-ca\n$/;
    assertRefused(await initAt(url), trust);
    assertRefused(await initAt(url, '--nats-tls-ca', other.cert), trust);
    assertRefused(await initAt(url.replace('tls:', 'nats:')), trust);
    const name = await initAt(`tls://localhost:${port}`, '--nats-tls-ca', own.cert);
    assertRefused(name, /not accepted: .*; connect by a name that the certificate has\n$/);
    assertRefused(
      await initAt(`tls://127.0.0.1:${plain}`),
      /does not offer TLS; configure it there, or use nats:/,
    );
  });

  it('ends an exporter at its start, rather than letting it try for ever', async (t) => {
    const port = await portOf({ config: tlsConfig(own) });
    const { dataDir, stop } = await startServer(t, { args: ['--workers', '1'] });
    const url = `tls://127.0.0.1:${port}`;
    const refused = await runCli(['export', '--to', url, '--data-dir', dataDir, '--nats-tls-ca', other.cert]);
    assertRefused(refused, /certificate of NATS at .* is not accepted/);
    await stop();
  });

  it('shows a client certificate where the server asks for one', async () => {
    const port = await portOf({ config: tlsConfig(own, `, ca_file: "${other.cert}", verify: true`) });
    const url = `tls://127.0.0.1:${port}`;
    const ca = ['--nats-tls-ca', own.cert];
    const pair = (cert: string, key: string): string[] => ['--nats-tls-cert', cert, '--nats-tls-key', key];
    const { code, stderr } = await initAt(url, ...ca, ...pair(other.cert, other.key));
    assert.equal(code, 0, stderr);
    const without = await initAt(url, ...ca);
    assertRefused(
      without,
      /if it asks for a client certificate, check --nats-tls-cert and --nats-tls-key\n$/,
    );
    const mixed = await initAt(url, ...ca, ...pair(other.cert, own.key));
    assertRefused(mixed, /--nats-tls-cert .*, --nats-tls-key .*: .*mismatch/, EXIT_USAGE);
    const half = await initAt(url, ...ca, '--nats-tls-cert', other.cert);
    assertRefused(half, /--nats-tls-cert and --nats-tls-key: give both, or none/, EXIT_USAGE);
    const noPem = await initAt(url, '--nats-tls-ca', fileOf('no.pem', 'x'));
    assertRefused(noPem, /--nats-tls-ca .*no\.pem: is not a certificate in PEM form/, EXIT_USAGE);
  });

  it('logs in with a token, an NKey and credentials, and says who is refused', async () => {
    const refused =
      /NATS at 127\.0\.0\.1:\d+ refuses the user, password or credentials; correct .*--nats-nkey\n$/;
    const user = nkeys.createUser();
    const accounts = createAccounts();
    const [token, nkey, creds] = await Promise.all([
      portOf({ config: 'authorization { token: "s3cret", timeout: 180 }' }),
      portOf({ config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ], timeout: 180 }` }),
      portOf({ config: accounts.config }),
    ]);
    const seed = fileOf('user.nk', `${Buffer.from(user.getSeed())}\n`);
    const otherSeed = fileOf('other.nk', `${Buffer.from(nkeys.createUser().getSeed())}\n`);
    const known = fileOf('user.creds', accounts.credentials());
    const foreign = fileOf('foreign.creds', createAccounts().credentials());
    const at = (port: number, login = ''): string => `nats://${login}127.0.0.1:${port}`;
    for (const accepted of [
      initAt(at(token, 's3cret@')),
      initAt(at(nkey), '--nats-nkey', seed),
      initAt(at(creds), '--nats-creds', known),
    ]) {
      const { code, stderr } = await accepted;
      assert.equal(code, 0, stderr);
    }
    assertRefused(await initAt(at(token, 'guess@')), refused);
    assertRefused(await initAt(at(token)), refused);
    assertRefused(await initAt(at(nkey), '--nats-nkey', otherSeed), refused);
    assertRefused(await initAt(at(creds), '--nats-creds', foreign), refused);
    const noSeed = await initAt(at(nkey), '--nats-nkey', known);
    assertRefused(noSeed, /--nats-nkey .*: is not the seed of a user; nk -gen user writes one/, EXIT_USAGE);
    const noCreds = await initAt(at(creds), '--nats-creds', seed);
    assertRefused(noCreds, /--nats-creds .*: is not a credentials file/, EXIT_USAGE);
    const both = await initAt(at(creds), '--nats-creds', known, '--nats-nkey', seed);
    assertRefused(both, /--nats-creds and --nats-nkey: give one of them/, EXIT_USAGE);
  });
});
