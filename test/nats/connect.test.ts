/** Connections to NATS after they broke. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { parseNatsAddress } from '../../src/nats/address.ts';
import { openNats } from '../../src/nats/connect.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd } from '../support/clean-up.ts';
import { startNats } from '../support/nats-server.ts';
import { requireTool } from '../support/tools.ts';

/** Of five pauses that begin with 100 ms, double each time, and are a fifth shorter at most. */
const SHORTEST_MS = 0.8 * (100 + 200 + 400 + 800 + 1_600);

describe('a broken connection to NATS', { skip: requireTool('nats-server') }, () => {
  it('is tried again ever more rarely, and works once the server is back', async (t) => {
    const server = await startNats(t);
    const link = await openNats(parseNatsAddress(server.url, '--to'), {}, 'test');
    onEnd(t, () => link.close());
    await server.kill();
    const triedMs: number[] = [];
    const listener = createServer((socket) => {
      triedMs.push(performance.now());
      socket.on('error', () => {}).destroy();
    }).listen(server.port, '127.0.0.1');
    onEnd(t, () => listener.close());
    await eventually('six attempts', () => triedMs.length >= 6);
    // A busy machine makes pauses longer, and never shorter.
    const tookMs = triedMs[5]! - triedMs[0]!;
    assert.ok(tookMs > SHORTEST_MS, `six attempts within ${tookMs} ms`);
    assert.equal(link.session, 1);
    await assert.rejects(
      link.guard(() => Promise.resolve()),
      /the connection broke/,
    );
    await new Promise((resolve) => listener.close(resolve));
    await server.start();
    await eventually('it is connected', () =>
      link
        .guard(() => link.connection.flush())
        .then(
          () => true,
          () => false,
        ),
    );
  });
});
