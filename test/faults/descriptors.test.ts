/** More connections than the server has descriptors for. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import { fetchOnce, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { descriptorCount, startServer } from '../support/server-process.ts';
import { countNames, readStored, segmentPaths } from '../support/stored.ts';

const DESCRIPTORS = 256;
const SOCKETS = 400;

describe('at the descriptor limit', () => {
  it('the server keeps storing and rotating for those it has, and recovers', async (t) => {
    const server = await startServer(t, {
      args: ['--workers', '2', '--rate-limit', '0', '--segment-bytes', '64k'],
      descriptorLimit: DESCRIPTORS,
    });
    const known = await RawConnection.open(server.port);
    assertAccepted(await known.request(postRequest(namesBody(uniqueName('before')))), 1);

    const sockets: RawConnection[] = [];
    t.after(() => {
      for (const socket of sockets) socket.close();
    });
    for (let k = 0; k < SOCKETS; k++) {
      // The kernel accepts what the server cannot, up to its backlog; a refusal is fine too.
      const opened = await RawConnection.open(server.port).catch(() => undefined);
      if (opened !== undefined) sockets.push(opened);
    }
    await eventually('no descriptors are left', () => descriptorCount(server.pid) >= DESCRIPTORS - 16);

    const filesBefore = segmentPaths(server.dataDir).length;
    const name = uniqueName('full');
    for (let request = 0; request < 60; request++) {
      const metrics = Array.from({ length: 100 }, (_, k) => metric(name, request * 100 + k));
      assertAccepted(await known.request(postRequest(bodyOf(metrics))), 100);
    }
    const rotations = segmentPaths(server.dataDir).length - filesBefore;
    // So many files are opened ahead; whether further ones find a descriptor is a race with the accept loop.
    assert.ok(rotations >= 4, `${rotations} rotations`);
    t.diagnostic(`${rotations} rotations at the limit`);
    assert.equal(countNames(readStored(server.dataDir)).get(name), 6_000);

    for (const socket of sockets) socket.close();
    known.close();
    await eventually(
      'the descriptors are free again',
      () => descriptorCount(server.pid) < DESCRIPTORS / 2,
      20_000,
    );
    await eventually('new connections are served', async () => {
      const connection = await RawConnection.open(server.port);
      connection.send({ path: '/ready' });
      const event = await connection.next(5_000);
      connection.close();
      return event.kind === 'response' && event.response.status === 200;
    });
    for (let k = 0; k < 20; k++) assertAccepted(await post(server.port, namesBody(uniqueName('after'))), 1);
    const filesAfter = segmentPaths(server.dataDir).length;
    await eventually('files rotate again', async () => {
      const metrics = Array.from({ length: 500 }, () => metric(uniqueName('after')));
      assertAccepted(await post(server.port, bodyOf(metrics)), 500);
      return segmentPaths(server.dataDir).length >= filesAfter + 5;
    });
    assert.equal((await fetchOnce(server.port, { path: '/health' })).status, 200);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
});
