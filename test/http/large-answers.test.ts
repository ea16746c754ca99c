import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { MIB } from '../../src/base/units.ts';
import { ExchangePool } from '../../src/http/exchange.ts';
import { isLarge, LargeAnswers } from '../../src/http/large-answers.ts';
import { prepareText } from '../../src/http/response.ts';
import { EXCLUSIVE_PORT, loadUws } from '../../src/http/uws.ts';
import { createCounterBlock, WORKER, WORKER_SLOTS } from '../../src/telemetry/counters.ts';
import { eventually } from '../support/assertions.ts';
import type { Owner } from '../support/clean-up.ts';

const UNREAD_MAX = 4;
/** More than the system's buffers of a connection take; each byte tells where it is. */
const BODY = Array.from({ length: MIB }, (_, k) => `é${String(k % 1_000_000).padStart(6, '0')}`).join('');

/** One answer on a real app of uWebSockets.js, to requests with this Connection header. */
function openApp(owner: Owner, connection: string) {
  const counters = new Float64Array(createCounterBlock(WORKER_SLOTS));
  const large = new LargeAnswers(counters, UNREAD_MAX);
  let released = 0;
  const exchanges = new ExchangePool({
    aborted: () => {},
    received: () => {},
    released: () => {
      released += 1;
    },
  });
  const { module } = loadUws();
  const app = module.App();
  app.get('/', (response) => {
    const exchange = exchanges.acquire(response, 0);
    response.onAborted(exchange.onAborted);
    exchange.close = true;
    exchange.closesAlone = connection === 'close';
    prepareText(exchange, 200, 'text/plain', BODY);
    assert.ok(isLarge(exchange));
    setImmediate(() => large.send(exchange));
  });
  let port = 0;
  app.listen('127.0.0.1', 0, EXCLUSIVE_PORT, (socket) => {
    port = module.us_socket_local_port(socket);
  });
  owner.after(() => app.close());
  const ask = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1').pause();
    owner.after(() => socket.destroy());
    // A reset, if the server gives the answer up.
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\n\r\n`);
    return socket;
  };
  return {
    ask,
    /** Sends a request and reads nothing before the server has answered. */
    leave: async (): Promise<Socket> => {
      const socket = await ask();
      await once(socket, 'readable');
      return socket;
    },
    closed: () => counters[WORKER.responses_unread],
    released: () => released,
  };
}

async function readAll(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

for (const connection of ['close', 'TE, close']) {
  describe(`large answers to "Connection: ${connection}"`, () => {
    it('reach a client that begins to read late, whole, and end its connection', async (t) => {
      const app = openApp(t, connection);
      const socket = await app.leave();
      assert.equal(app.released(), 0);
      const [head, body] = (await readAll(socket)).split('\r\n\r\n');
      assert.match(head!, /\r\nConnection: close\r\n/);
      assert.match(head!, new RegExp(`\r\nContent-Length: ${Buffer.byteLength(BODY)}$`));
      assert.ok(body === BODY);
      assert.equal(app.released(), 1);
    });

    it('give up the one that has waited longest when too many wait', async (t) => {
      const app = openApp(t, connection);
      const sockets: Socket[] = [];
      for (let k = 0; k < UNREAD_MAX; k++) sockets.push(await app.leave());
      assert.equal(app.closed(), 0);
      // A client that has gone makes room.
      sockets.pop()!.resetAndDestroy();
      sockets.push(await app.ask(), await app.ask());
      await eventually('one is given up', () => app.closed() === 1);
      assert.ok((await readAll(sockets[1]!)).endsWith(BODY.slice(-100)));
      await assert.rejects(
        readAll(sockets[0]!).then((text) => assert.ok(text.endsWith(BODY.slice(-100)), 'cut short')),
      );
    });
  });
}
