import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertAccepted, assertProblem } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import {
  CLOSED_WITHIN_MS,
  chunkedBytes,
  post,
  postRequest,
  RawConnection,
  requestBytes,
} from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const MAX_BODY_BYTES = 100_000;
const server = await startServer(
  { after },
  { args: ['--workers', '1', '--max-body-bytes', String(MAX_BODY_BYTES), '--rate-limit', '0'] },
);

const CHUNKED_HEAD =
  'POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';

/** A well-formed body of one metric and exactly this many bytes. */
function bodyOfBytes(name: string, bytes: number): string {
  const bare = namesBody(name);
  return bare + ' '.repeat(bytes - bare.length);
}

function storedCount(name: string): number {
  return countNames(readStored(server.dataDir)).get(name) ?? 0;
}

async function send(...parts: (string | Uint8Array)[]) {
  const connection = await RawConnection.open(server.port);
  try {
    await connection.writeParts(parts);
    return await connection.read();
  } finally {
    connection.close();
  }
}

describe('a body in pieces', () => {
  it('is the same however a request is split in two', async () => {
    const connection = await RawConnection.open(server.port);
    const names: string[] = [];
    const total = requestBytes(postRequest(namesBody(uniqueName('split')))).length;
    for (let cut = 1; cut < total; cut++) {
      const name = uniqueName('split');
      names.push(name);
      const bytes = requestBytes(postRequest(namesBody(name)));
      await connection.writeParts([bytes.subarray(0, cut), bytes.subarray(cut)]);
      assertAccepted(await connection.read(), 1);
    }
    connection.close();
    const stored = countNames(readStored(server.dataDir));
    for (const name of names) assert.equal(stored.get(name), 1, name);
  });

  it('is the same sent byte by byte', async () => {
    const name = uniqueName('bytes');
    const bytes = requestBytes(postRequest(namesBody(name)));
    assertAccepted(await send(...Array.from(bytes, (byte) => Uint8Array.of(byte))), 1);
    assert.equal(storedCount(name), 1);
  });

  it('is the same in chunks of every size', async () => {
    const length = namesBody(uniqueName('chunk')).length;
    const connection = await RawConnection.open(server.port);
    for (let chunkBytes = 1; chunkBytes <= length; chunkBytes++) {
      connection.write(
        Buffer.concat([Buffer.from(CHUNKED_HEAD), chunkedBytes(namesBody(uniqueName('chunk')), chunkBytes)]),
      );
      assertAccepted(await connection.read(), 1);
    }
    connection.close();
  });

  it('is the same when chunks and segments are cut apart at every byte', async () => {
    const connection = await RawConnection.open(server.port);
    const total = chunkedBytes(namesBody(uniqueName('both')), 40).length;
    for (let cut = 1; cut < total; cut++) {
      const name = uniqueName('both');
      const bytes = chunkedBytes(namesBody(name), 40);
      await connection.writeParts([CHUNKED_HEAD, bytes.subarray(0, cut), bytes.subarray(cut)]);
      assertAccepted(await connection.read(), 1);
    }
    connection.close();
  });

  it('may carry chunk extensions and trailers', async () => {
    const name = uniqueName('extensions');
    const body = namesBody(name);
    const size = body.length.toString(16);
    const connection = await RawConnection.open(server.port);
    connection.write(`${CHUNKED_HEAD}${size};a=b\r\n${body}\r\n0\r\n\r\n`);
    const event = await connection.next(60_000);
    connection.close();
    // A transport may refuse extensions, but a 200 is a promise.
    assert.equal(storedCount(name), event.kind === 'response' && event.response.status === 200 ? 1 : 0);
  });

  it('leaves no bytes of a longer body in a shorter one', async () => {
    const connection = await RawConnection.open(server.port);
    const long = uniqueName('long');
    assertAccepted(await connection.request(postRequest(namesBody(long, ...Array(200).fill(long)))), 201);
    const short = namesBody(uniqueName('short'));
    assertProblem(await connection.request(postRequest(short.slice(0, -1))), 400);
    assertProblem(await connection.request(postRequest('{')), 400);
    assertAccepted(await connection.request(postRequest(short)), 1);
    connection.close();
    assert.equal(storedCount(long), 201);
  });

  it('refuses an empty body and closes, since broken framing can look like one', async () => {
    const connection = await RawConnection.open(server.port);
    assertProblem(await connection.request(postRequest('')), 400);
    assert.ok(await connection.waitClosed(CLOSED_WITHIN_MS));
  });

  it('answers a client that waits for 100-continue', async () => {
    const body = namesBody(uniqueName('continue'));
    const bytes = requestBytes(postRequest(body, { headers: { Expect: '100-continue' } }));
    assertAccepted(await send(bytes), 1);
  });
});

describe('the body limit', () => {
  it('accepts a body of exactly the limit', async () => {
    const name = uniqueName('limit');
    assertAccepted(await post(server.port, bodyOfBytes(name, MAX_BODY_BYTES)), 1);
    assert.equal(storedCount(name), 1);
  });

  it('refuses one byte more by its declared length, before the body is sent', async () => {
    const head = `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`;
    const problem = assertProblem(await send(head), 413);
    assert.match(String(problem.detail), new RegExp(String(MAX_BODY_BYTES)));
  });

  it('refuses a declared length beyond the range of numbers', async () => {
    const head =
      'POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9007199254740993\r\n\r\n';
    const connection = await RawConnection.open(server.port);
    connection.write(head);
    const event = await connection.next(60_000);
    connection.close();
    if (event.kind === 'response') assert.ok([400, 413].includes(event.response.status));
    else assert.equal(event.kind, 'closed');
  });

  it('accepts a chunked body of exactly the limit', async () => {
    const body = bodyOfBytes(uniqueName('limit'), MAX_BODY_BYTES);
    assertAccepted(await send(CHUNKED_HEAD, chunkedBytes(body, 7000)), 1);
  });

  it('refuses a chunked body that grows past it', async () => {
    const name = uniqueName('limit');
    const body = bodyOfBytes(name, MAX_BODY_BYTES + 1);
    assertProblem(await send(CHUNKED_HEAD, chunkedBytes(body, 7000)), 413);
    assert.equal(storedCount(name), 0);
  });

  it('stops reading a chunked body that never ends', async () => {
    const connection = await RawConnection.open(server.port);
    connection.write(CHUNKED_HEAD);
    const part = chunkedBytes(' '.repeat(65_536), 65_536).subarray(0, -5);
    let sentBytes = 0;
    connection.socket.on('error', () => {});
    while (!connection.closed && connection.unread.length === 0 && sentBytes < 64 << 20) {
      if (!connection.socket.write(part)) {
        await Promise.race([
          new Promise((resolve) => connection.socket.once('drain', resolve)),
          connection.waitClosed(60_000),
        ]);
      }
      sentBytes += part.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const event = await connection.next(60_000);
    if (event.kind === 'response') assertProblem(event.response, 413);
    else assert.equal(event.kind, 'closed');
    connection.close();
    assert.ok(sentBytes < 32 << 20, `${sentBytes} bytes were taken`);
  });

  it('holds after inflating too', async () => {
    const headers = { 'Content-Encoding': 'gzip' };
    const fits = bodyOfBytes(uniqueName('inflate'), MAX_BODY_BYTES);
    assertAccepted(await post(server.port, gzipSync(fits), { headers }), 1);
    const name = uniqueName('inflate');
    const over = bodyOfBytes(name, MAX_BODY_BYTES + 1);
    assertProblem(await post(server.port, gzipSync(over), { headers }), 413);
    assert.equal(storedCount(name), 0);
  });

  it('holds for a gzip bomb of 100 MB', async () => {
    const bomb = gzipSync(Buffer.alloc(100_000_000, 0x20), { level: 9 });
    assert.ok(bomb.length < MAX_BODY_BYTES);
    assertProblem(await post(server.port, bomb, { headers: { 'Content-Encoding': 'gzip' } }), 413);
  });

  it('leaves the next request of another connection untouched', async () => {
    assertAccepted(await post(server.port, bodyOf([metric(uniqueName('next'))])), 1);
  });
});
