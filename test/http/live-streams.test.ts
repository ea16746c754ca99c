import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { Gate } from '../../src/admission/gate.ts';
import { Control, createControlBlock } from '../../src/base/control.ts';
import { Breaker, createBreakerMemory } from '../../src/breaker/breaker.ts';
import { ExchangePool } from '../../src/http/exchange.ts';
import { LiveStreams } from '../../src/http/live-streams.ts';
import { Outbox } from '../../src/http/outbox.ts';
import { Turn } from '../../src/http/turn.ts';
import { EXCLUSIVE_PORT, loadUws } from '../../src/http/uws.ts';
import { createCounterBlock, WORKER, WORKER_SLOTS } from '../../src/telemetry/counters.ts';
import { createSampleMemories, openRecorder } from '../../src/telemetry/ring-buffer.ts';
import { eventually } from '../support/assertions.ts';
import type { Owner } from '../support/clean-up.ts';

const DEAF = 8;
const MESSAGES = 600;
const TEXT = `data: ${'x'.repeat(64 << 10)}\n\n`;
const IDLE_TIMEOUT_MS = 10_000;

/** Streams on a real app of uWebSockets.js; the test plays main. */
function openApp(owner: Owner) {
  const calls: string[] = [];
  const exchanges = new ExchangePool({ aborted: () => {}, received: () => {}, released: () => {} });
  const gate = new Gate(
    new Control(createControlBlock()),
    new Breaker(createBreakerMemory({ failures: 5, errorPercent: 50, windowMs: 10_000, openMs: 1000 })),
    { depth: 0, capacity: 1, isFull: false },
    null,
  );
  const outbox = new Outbox(
    new Turn(() => outbox.flush()),
    gate,
    new Float64Array(createCounterBlock(WORKER_SLOTS)),
    openRecorder(createSampleMemories(1)[0]!),
  );
  const streams = new LiveStreams(outbox, gate, {
    open: (id) => {
      calls.push('open');
      // Main answers by message, in a later turn.
      setImmediate(() => streams.opened(id, TEXT));
    },
    close: () => calls.push('close'),
  });
  const { module } = loadUws();
  const app = module.App();
  app.setIdleTimeout(IDLE_TIMEOUT_MS / 1e3);
  app.setResponseTimeout(IDLE_TIMEOUT_MS / 1e3);
  app.get('/live', (response) => {
    const exchange = exchanges.acquire(response, 0);
    response.onAborted(exchange.onAborted);
    streams.open(exchange);
  });
  let port = 0;
  app.listen('127.0.0.1', 0, EXCLUSIVE_PORT, (socket) => {
    port = module.us_socket_local_port(socket);
  });
  owner.after(() => app.close());
  return { port, streams, calls, counters: outbox.counters };
}

async function ask(owner: Owner, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => {});
  owner.after(() => socket.destroy());
  socket.write('GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n');
  return socket;
}

describe('live streams', () => {
  it('with clients that never read use no memory, reach the others, and end at the idle timeout', async (t) => {
    const { port, streams, calls, counters } = openApp(t);
    for (let k = 0; k < DEAF; k++) (await ask(t, port)).pause();
    const reader = await ask(t, port);
    let bytes = 0;
    let wake = () => {};
    reader.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      wake();
    });
    const readUpTo = async (wanted: number) => {
      while (bytes < wanted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    await readUpTo(TEXT.length);
    assert.equal(counters[WORKER.requests_200], DEAF + 1);
    const before = process.memoryUsage().rss;
    for (let sent = 1; sent <= MESSAGES; sent++) {
      streams.send(TEXT);
      await readUpTo((sent + 1) * TEXT.length);
    }
    const grown = process.memoryUsage().rss - before;
    const keptMiB = (DEAF * MESSAGES * TEXT.length) >> 20;
    assert.ok(grown < 100 << 20, `grew by ${grown >> 20} MiB; to keep everything would take ${keptMiB} MiB`);
    reader.destroy();
    await eventually('the deaf ones are gone', () => calls.includes('close'), 3 * IDLE_TIMEOUT_MS);
    assert.equal(calls.filter((call) => call === 'close').length, 1);
  });
});
