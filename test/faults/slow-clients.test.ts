/** Clients that send a byte now and then, beside one that behaves. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const server = await startServer({ after }, { args: ['--workers', '2', '--rate-limit', '0'] });

const STEP_MS = 100;
/** Our own timer is 8 s, that of uWebSockets.js 10 s with a clock of 4 s steps; the rest is for a busy machine. */
const CUT_MS = { least: 7_000, most: 20_000 };

interface Cut {
  readonly name: string;
  readonly afterMs: number;
  readonly status: number | undefined;
  readonly closed: boolean;
}

/** Sends `head` at once and `rest` a byte at a time until the server ends it. */
async function dribble(head: string, rest: string, name: string): Promise<Cut> {
  const startedAt = performance.now();
  const connection = await RawConnection.open(server.port);
  connection.write(head);
  for (const byte of rest) {
    if (connection.closed || connection.unread.length > 0 || performance.now() - startedAt > CUT_MS.most)
      break;
    connection.write(byte);
    await delay(STEP_MS);
  }
  const event = await connection.next(CUT_MS.most);
  const afterMs = performance.now() - startedAt;
  const closed = event.kind === 'closed' || (await connection.waitClosed(CUT_MS.most));
  connection.close();
  return { name, afterMs, closed, status: event.kind === 'response' ? event.response.status : undefined };
}

function slowBody(): Promise<Cut> {
  const name = uniqueName('slow-body');
  const body = namesBody(name) + ' '.repeat(400);
  const head = `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`;
  return dribble(head, body, name);
}

function slowChunks(): Promise<Cut> {
  const name = uniqueName('slow-chunk');
  const chunks = Array.from(namesBody(name), (byte) => `1\r\n${byte}\r\n`).join('');
  return dribble(
    'POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    chunks,
    name,
  );
}

function slowHeaders(): Promise<Cut> {
  const name = uniqueName('slow-header');
  return dribble('POST /metrics HTTP/1.1\r\nHost: localhost\r\n', `X-Slow: ${'a'.repeat(400)}`, name);
}

function sayingNothing(): Promise<Cut> {
  return dribble('', '', uniqueName('silent'));
}

describe('clients that dribble', () => {
  it('are cut after 8 to 12 seconds, and a good client beside them never fails', async (t) => {
    let cutting = true;
    let good = 0;
    let slowestMs = 0;
    const goodClient = async () => {
      const connection = await RawConnection.open(server.port);
      while (cutting) {
        const startedAt = performance.now();
        assertAccepted(await connection.request(postRequest(namesBody(uniqueName('good')))), 1);
        slowestMs = Math.max(slowestMs, performance.now() - startedAt);
        good += 1;
        await delay(5);
      }
      connection.close();
    };
    const beside = Promise.all([goodClient(), goodClient()]);
    const kinds = { slowBody, slowChunks, slowHeaders, sayingNothing };
    const cuts = await Promise.all(
      Object.entries(kinds).flatMap(([kind, start]) =>
        Array.from({ length: 15 }, async () => ({ kind, ...(await start()) })),
      ),
    );
    cutting = false;
    await beside;

    const stored = countNames(readStored(server.dataDir));
    for (const { kind, name, afterMs, status, closed } of cuts) {
      const text = `${kind}: status ${status}, after ${Math.round(afterMs)} ms`;
      assert.ok(closed, `${text}, left open`);
      assert.ok(status === undefined || status === 408 || status === 400, text);
      assert.ok(afterMs >= CUT_MS.least && afterMs <= CUT_MS.most, text);
      assert.equal(stored.get(name), undefined, `${text}, stored`);
    }
    const bodies = cuts.filter(({ kind }) => kind === 'slowBody' || kind === 'slowChunks');
    assert.ok(
      bodies.every(({ status }) => status === 408),
      'a slow body was not answered with 408',
    );
    assert.ok(good > 200, `only ${good} good requests`);
    assert.ok(slowestMs < 2_000, `a good request took ${Math.round(slowestMs)} ms`);
    t.diagnostic(
      `${cuts.length} cut after ${Math.round(Math.min(...cuts.map((cut) => cut.afterMs)))} to ` +
        `${Math.round(Math.max(...cuts.map((cut) => cut.afterMs)))} ms; ${good} good requests, slowest ${Math.round(slowestMs)} ms`,
    );
  });
});
