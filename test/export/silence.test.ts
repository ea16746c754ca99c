/** A database, or the network before it, that goes silent in the middle of a transaction. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { onEnd } from '../support/clean-up.ts';
import { record } from '../support/damage.ts';
import { assertSame, init } from '../support/pipeline.ts';
import { requirePostgres, startPostgres } from '../support/postgres.ts';
import { runCli } from '../support/server-process.ts';

const COPY = Buffer.from('COPY ms_');

interface Path {
  readonly port: number;
  /** Whether a connection was silenced. */
  isSilent(): boolean;
}

/** Forwards to a port of this machine. The first connection that copies gets no answer any more, and stays open. */
async function startPath(test: TestContext, port: number): Promise<Path> {
  let silenced = false;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => other.destroy());
    }
    far.pipe(near);
    near.on('data', (bytes) => {
      if (!silenced && bytes.includes(COPY)) {
        silenced = true;
        far.unpipe(near);
        far.pause();
      }
      far.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, isSilent: () => silenced };
}

describe('a database that goes silent', { skip: requirePostgres() }, () => {
  it('during a COPY is given up after --statement-timeout, and gets every metric once', async (t) => {
    const postgres = await startPostgres(t);
    const { dataDir } = await record([3, 200], [5]);
    onEnd(t, () => rmSync(dataDir, { recursive: true }));
    await init(postgres.url);
    const path = await startPath(t, Number(new URL(postgres.url).port));
    const url = new URL(postgres.url);
    url.port = String(path.port);
    const patience = ['--statement-timeout', '10s', '--connect-timeout', '30s'];
    const { code, stderr } = await runCli([
      ...['export', '--to', url.href, '--data-dir', dataDir, '--once', ...patience],
    ]);
    assert.equal(code, 0, stderr);
    assert.ok(path.isSilent());
    await assertSame(postgres, dataDir);
  });
});
