import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { assertAccepted } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import { post, postRequest, RawConnection, requestBytes } from '../support/raw-http.ts';
import { startServer, temporaryDirectory, verify } from '../support/server-process.ts';
import { countNames, readStored, segmentPaths } from '../support/stored.ts';

const CONNECTIONS = 6;
const REQUESTS = 120;
const BATCH = 10;

/** Sends numbered metrics on one connection, one request after another, from `first` on. */
async function sendSequence(port: number, name: string, first: number): Promise<void> {
  const connection = await RawConnection.open(port);
  for (let request = 0; request < REQUESTS; request++) {
    const start = first + request * BATCH;
    const metrics = Array.from({ length: BATCH }, (_, k) => metric(name, start + k));
    assertAccepted(await connection.request(postRequest(bodyOf(metrics))), BATCH);
  }
  connection.close();
}

describe('order', () => {
  it('is kept per connection across rotation and restart', async (t) => {
    const dataDir = temporaryDirectory(t);
    const args = ['--workers', '2', '--segment-bytes', '64k', '--rate-limit', '0'];
    const names = Array.from({ length: CONNECTIONS }, (_, k) => `order.${k}`);
    for (let run = 0; run < 2; run++) {
      const server = await startServer(t, { args, dataDir });
      await Promise.all(names.map((name) => sendSequence(server.port, name, run * REQUESTS * BATCH)));
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
    }
    assert.ok(segmentPaths(dataDir).length > 10, 'the files were not rotated');
    const stored = readStored(dataDir);
    for (const name of names) {
      const values = stored.filter((line) => line.name === name).map((line) => line.value);
      assert.deepEqual(
        values,
        Array.from({ length: 2 * REQUESTS * BATCH }, (_, k) => k),
      );
    }
    assert.equal((await verify(dataDir)).code, 0);
  });
});

const server = await startServer({ after }, { args: ['--workers', '2'] });

describe('keep-alive', () => {
  it('answers many requests on one connection', async () => {
    const connection = await RawConnection.open(server.port);
    for (let k = 0; k < 200; k++)
      assertAccepted(await connection.request(postRequest(namesBody(uniqueName('k')))), 1);
    assert.equal((await connection.request({ path: '/health' })).status, 200);
    connection.close();
  });

  it('survives connections that end at any point of a request', async () => {
    const bytes = requestBytes(postRequest(namesBody(uniqueName('cut'))));
    for (let cut = 0; cut < bytes.length; cut += 3) {
      const connection = await RawConnection.open(server.port);
      await connection.writeParts([bytes.subarray(0, cut)]);
      if (cut % 2 === 0) connection.close();
      else connection.socket.resetAndDestroy();
    }
    assertAccepted(await post(server.port, namesBody(uniqueName('after'))), 1);
  });

  it('stores metrics of a client that disconnects at most once', async () => {
    const names = Array.from({ length: 100 }, () => uniqueName('gone'));
    for (const name of names) {
      const connection = await RawConnection.open(server.port);
      await connection.writeParts([requestBytes(postRequest(namesBody(name)))]);
      connection.socket.resetAndDestroy();
    }
    assertAccepted(await post(server.port, namesBody(uniqueName('after'))), 1);
    const counts = countNames(readStored(server.dataDir));
    for (const name of names) assert.ok((counts.get(name) ?? 0) <= 1);
  });
});

describe('pipelining', () => {
  it('of a second request may end the connection, but loses nothing acknowledged', async () => {
    for (let round = 0; round < 20; round++) {
      const names = Array.from({ length: 5 }, () => uniqueName('pipe'));
      const connection = await RawConnection.open(server.port);
      connection.write(Buffer.concat(names.map((name) => requestBytes(postRequest(namesBody(name))))));
      let answered = 0;
      for (;;) {
        const event = await connection.next(60_000);
        if (event.kind !== 'response') {
          assert.equal(event.kind, 'closed');
          break;
        }
        assertAccepted(event.response, 1);
        if (++answered === names.length) break;
      }
      connection.close();
      const counts = countNames(readStored(server.dataDir));
      names.forEach((name, index) => {
        const count = counts.get(name) ?? 0;
        assert.ok(index < answered ? count === 1 : count <= 1, `${name}: ${count} of ${answered} answered`);
      });
    }
  });
});
