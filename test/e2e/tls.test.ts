import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import { makeCertificate, makeExpiredCertificate } from '../support/certificates.ts';
import type { Owner } from '../support/clean-up.ts';
import { describeFirstAndLast, phaseArgs } from '../support/each-phase.ts';
import { CLOSED_WITHIN_MS, fetchSecure, postRequest, RawConnection } from '../support/raw-http.ts';
import {
  memoryDirectory,
  runCli,
  type ServerProcess,
  StartFailed,
  startServer,
  temporaryDirectory,
} from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { requireTool } from '../support/tools.ts';

const CLEAN_EXIT = { code: 0, signal: null };
const TOKEN = 'tls-test-token-0123456789';

describe('TLS', { skip: requireTool('openssl') }, () => {
  const directory = temporaryDirectory({ after });
  const first = makeCertificate(directory, 'first.test');
  const second = makeCertificate(directory, 'second.test');

  /** The certificate and key that the server reads; tests replace the files. */
  class ServerFiles {
    readonly cert: string;
    readonly key: string;

    constructor(owner: Owner) {
      const own = temporaryDirectory(owner);
      this.cert = join(own, 'server.crt');
      this.key = join(own, 'server.key');
      this.put(first);
    }

    put({ cert, key }: { readonly cert: string; readonly key: string }): void {
      copyFileSync(cert, this.cert);
      copyFileSync(key, this.key);
    }

    get args(): string[] {
      return ['--tls-cert', this.cert, '--tls-key', this.key];
    }
  }

  const postOn = (connection: RawConnection, name: string) =>
    connection.request(postRequest(namesBody(name)));

  const nameSeenBy = (connection: RawConnection): unknown =>
    connection.secureSocket.getPeerCertificate().subject.CN;

  /** The common name that a new connection sees. */
  async function nameShown(port: number): Promise<unknown> {
    const connection = await RawConnection.openSecure(port);
    const name = nameSeenBy(connection);
    connection.close();
    return name;
  }

  /** The names that new connections see, whichever thread they reach. */
  function namesShown({ port }: ServerProcess): Promise<unknown[]> {
    return Promise.all(Array.from({ length: 6 }, () => nameShown(port)));
  }

  async function handshake(port: number, options: ConnectionOptions): Promise<string | null> {
    const connection = await RawConnection.openSecure(port, options);
    const protocol = connection.secureSocket.getProtocol();
    connection.close();
    return protocol;
  }

  const suiteFiles = new ServerFiles({ after });

  describeFirstAndLast({ args: ['--workers', '2', ...suiteFiles.args] }, (server) => {
    it('serves HTTPS with the given certificate, and stores metrics sent over it', async () => {
      const connection = await RawConnection.openSecure(server.port);
      assert.equal(nameSeenBy(connection), 'first.test');
      const name = uniqueName('secure');
      for (let k = 0; k < 3; k++) assertAccepted(await postOn(connection, name), 1);
      assert.equal((await connection.request({ path: '/health' })).status, 200);
      connection.close();
      assert.equal(countNames(readStored(server.dataDir)).get(name), 3);
    });

    it('assembles bodies that arrive in many records, plain and compressed', async () => {
      const connection = await RawConnection.openSecure(server.port);
      const body = bodyOf(Array.from({ length: 2_000 }, (_, k) => metric(`record.${k}`)));
      assertAccepted(await connection.request(postRequest(body)), 2_000);
      const headers = { 'Content-Encoding': 'gzip' };
      assertAccepted(await connection.request(postRequest(gzipSync(body), { headers })), 2_000);
      connection.close();
    });

    it('closes connections that speak plain HTTP, and serves others', async () => {
      const plain = await RawConnection.open(server.port);
      plain.send(postRequest(namesBody(uniqueName('plain'))));
      const event = await plain.next(60_000);
      assert.equal(event.kind, 'closed');
      plain.close();
      assert.equal((await fetchSecure(server.port, { path: '/ready' })).status, 200);
    });
  });

  describe('HTTPS', () => {
    it('logs versions, certificate, expiry and a curl line at start', async (t) => {
      const server = await startServer(t, { args: suiteFiles.args });
      assert.match(String(server.listening.tls), /^1\.2 and 1\.3, CN=first\.test until 20\d\d-/);
      await server.logged(({ msg }) => /^try: curl .* https:\/\//.test(String(msg)));
    });

    it('speaks TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, nothing older or weaker', async (t) => {
      const { port } = await startServer(t, { args: suiteFiles.args });
      assert.equal(await handshake(port, {}), 'TLSv1.3');
      assert.equal(await handshake(port, { maxVersion: 'TLSv1.2' }), 'TLSv1.2');
      const weak = { maxVersion: 'TLSv1.2', ciphers: 'ALL:@SECLEVEL=0' } as const;
      await assert.rejects(handshake(port, { ...weak, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }));
      await assert.rejects(
        handshake(port, { ...weak, ciphers: 'ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384' }),
      );
      const authority = { ca: [], rejectUnauthorized: true };
      await assert.rejects(handshake(port, authority), /self-signed/);
    });

    it('serves others while clients handshake slowly', async (t) => {
      const server = await startServer(t, { args: ['--workers', '1', ...suiteFiles.args] });
      const dribblers = Array.from({ length: 200 }, () => connect(server.port, '127.0.0.1'));
      for (const socket of dribblers) socket.on('error', () => socket.destroy());
      const hello = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]);
      let sent = 0;
      const dribble = setInterval(() => {
        for (const socket of dribblers) socket.write(hello.subarray(sent, sent + 1));
        sent = Math.min(sent + 1, hello.length - 1);
      }, 20);
      t.after(() => {
        clearInterval(dribble);
        for (const socket of dribblers) socket.destroy();
      });
      await eventually('they have begun', () => sent > 3);
      const connection = await RawConnection.openSecure(server.port);
      for (let k = 0; k < 20; k++) assertAccepted(await postOn(connection, 'beside.dribblers'), 1);
      assert.equal(await nameShown(server.port), 'first.test');
      connection.close();
      assert.deepEqual(await server.stop(), CLEAN_EXIT);
    });
  });

  describe('SIGHUP', () => {
    for (const phase of [0, 6]) {
      it(`in phase ${phase} shows new connections the new certificate, while open ones go on`, async (t) => {
        const files = new ServerFiles(t);
        const server = await startServer(t, {
          args: [...phaseArgs({ number: phase } as never), '--workers', '2', ...files.args],
          // The open connections take turns, and one without a request is closed after some seconds.
          dataDir: memoryDirectory(t),
        });
        const open = await Promise.all(
          Array.from({ length: 8 }, () => RawConnection.openSecure(server.port)),
        );
        for (const connection of open) assertAccepted(await postOn(connection, 'open'), 1);
        for (const [pair, name] of [
          [second, 'second.test'],
          [first, 'first.test'],
          [second, 'second.test'],
        ] as const) {
          const before = server.logs.length;
          files.put(pair);
          server.kill('SIGHUP');
          await server.logged(
            (line) =>
              server.logs.indexOf(line) >= before &&
              line.msg === 'reloaded' &&
              line.certificate === `CN=${name}`,
          );
          assert.deepEqual(await namesShown(server), Array(6).fill(name));
          for (const connection of open) assertAccepted(await postOn(connection, 'open'), 1);
        }
        assert.equal(countNames(readStored(server.dataDir)).get('open'), 8 * 4);
        const late = await RawConnection.openSecure(server.port);
        assertAccepted(await postOn(late, 'late'), 1);
        // With connections of three certificates open.
        assert.deepEqual(await server.stop(), CLEAN_EXIT);
        for (const connection of [...open, late]) {
          assert.ok(await connection.waitClosed(CLOSED_WITHIN_MS));
          connection.close();
        }
      });
    }

    it('with a mismatched pair keeps certificate and tokens', async (t) => {
      const files = new ServerFiles(t);
      const tokens = join(temporaryDirectory(t), 'tokens');
      writeFileSync(tokens, `web ${TOKEN}\n`, { mode: 0o600 });
      const server = await startServer(t, {
        args: ['--workers', '2', ...files.args, '--tokens-file', tokens],
      });
      copyFileSync(second.cert, files.cert);
      writeFileSync(tokens, `web ${TOKEN}-changed\n`);
      server.kill('SIGHUP');
      const line = await server.logged(({ msg }) => /reload failed/.test(String(msg)));
      assert.match(String(line.reason), /--tls-key .* is not the key of the first certificate/);
      assert.equal(await nameShown(server.port), 'first.test');
      const headers = { Authorization: `Bearer ${TOKEN}` };
      const post = { ...postRequest(namesBody(uniqueName('kept')), { headers }) };
      assertAccepted(await fetchSecure(server.port, post), 1);
      assert.equal((await fetchSecure(server.port, postRequest('{}'))).status, 401);
    });

    it('given many times at once ends with the last certificate', async (t) => {
      const files = new ServerFiles(t);
      const server = await startServer(t, { args: ['--workers', '2', ...files.args] });
      const open = await RawConnection.openSecure(server.port);
      for (let k = 0; k < 10; k++) server.kill('SIGHUP');
      files.put(second);
      server.kill('SIGHUP');
      await eventually('the last one is shown', async () => {
        return (await namesShown(server)).every((name) => name === 'second.test');
      });
      assertAccepted(await postOn(open, 'open'), 1);
      open.close();
      assert.deepEqual(await server.stop(), CLEAN_EXIT);
    });
  });

  describe('SIGTERM under HTTPS', () => {
    it('answers requests in flight and exits 0 despite unfinished handshakes', async (t) => {
      const server = await startServer(t, {
        args: ['--workers', '2', '--drain-timeout-ms', '2000', ...suiteFiles.args],
        dataDir: memoryDirectory(t),
      });
      const silent = Array.from({ length: 20 }, () =>
        connect(server.port, '127.0.0.1').on('error', () => {}),
      );
      const idle = await Promise.all(Array.from({ length: 10 }, () => RawConnection.openSecure(server.port)));
      for (const connection of idle) assertAccepted(await postOn(connection, 'before'), 1);
      for (const connection of idle) connection.send(postRequest(namesBody('last')));
      for (const connection of idle) assertAccepted(await connection.read(), 1);
      assert.deepEqual(await server.stop(), CLEAN_EXIT);
      for (const connection of idle) connection.close();
      for (const socket of silent) socket.destroy();
      assert.equal(countNames(readStored(server.dataDir)).get('last'), 10);
    });
  });

  describe('at its start the server', () => {
    it('refuses a key that does not match the certificate, with exit code 2', async (t) => {
      await assert.rejects(
        startServer(t, { args: ['--tls-cert', first.cert, '--tls-key', second.key] }),
        (error: unknown) => {
          assert.ok(error instanceof StartFailed);
          assert.equal(error.exit.code, 2);
          assert.match(error.output, /--tls-key .* is not the key of the first certificate in/);
          return true;
        },
      );
    });

    it('refuses a file with a byte order mark by name', async () => {
      const cert = join(directory, 'marked.crt');
      writeFileSync(cert, `\uFEFF${readFileSync(first.cert, 'utf8')}`);
      const { code, stderr } = await runCli([
        'config',
        '--check',
        '--tls-cert',
        cert,
        '--tls-key',
        first.key,
      ]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /--tls-cert .*marked\.crt: begins with a byte order mark/);
    });

    for (const [kind, ...newkey] of [
      ['P-384', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1'],
      ['P-521', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp521r1'],
      ['Ed25519', 'ed25519'],
      ['RSA', 'rsa:2048'],
    ] as const) {
      it(`accepts a key of the kind ${kind}, and serves with it`, async (t) => {
        const { cert, key } = makeCertificate(directory, `${kind}.test`, 30, newkey);
        const server = await startServer(t, { args: ['--tls-cert', cert, '--tls-key', key] });
        const connection = await RawConnection.openSecure(server.port);
        assertAccepted(await postOn(connection, 'kind'), 1);
        connection.close();
      });
    }

    // OpenSSL accepts all of them.
    for (const [kind, ...newkey] of [
      ['rsa-pss', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048'],
      ['ed448', 'ed448'],
      ...['secp256k1', 'secp224r1', 'brainpoolP256r1'].map((curve) => [
        curve,
        ...['ec', '-pkeyopt', `ec_paramgen_curve:${curve}`],
      ]),
    ] as [string, ...string[]][]) {
      it(`refuses a key of the kind ${kind}, as config --check does`, async () => {
        const { cert, key } = makeCertificate(directory, `${kind}.test`, 30, newkey);
        for (const command of [
          ['config', '--check'],
          ['serve', '--port', '0'],
        ]) {
          const { code, stderr } = await runCli([...command, '--tls-cert', cert, '--tls-key', key]);
          assert.equal(code, 2, stderr);
          assert.match(stderr, new RegExp(`^metricsstream: --tls-key .*${kind}.*use an RSA key[^\n]*\n$`));
        }
      });
    }

    it('accepts a certificate that has expired, and warns', async (t) => {
      const old = makeExpiredCertificate(directory, 'old.test');
      const server = await startServer(t, { args: ['--tls-cert', old.cert, '--tls-key', old.key] });
      const line = await server.logged(({ msg }) => /expired/.test(String(msg)));
      assert.equal(line.level, 'warn');
      assert.equal(await nameShown(server.port), 'old.test');
    });
  });
});
