/** Promises of the earlier phases' dispatchers beyond the answers that all phases share. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { assertAccepted, assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { fetchOnce, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, type ServerProcess, startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const CLEAN_EXIT = { code: 0, signal: null };
/** Long enough for a thread to start on a busy machine. */
const SYNC_DELAY_MS = 1_500;

/**
 * A server of the phase whose syncs can be delayed. Its limiter is off: several threads charge one client here, and on a busy
 * machine the holder of the limiter's lock may lose its CPU for longer than others wait.
 */
async function slowServer(t: TestContext, phase: number, args: readonly string[] = []) {
  const faults = new FaultSwitch(t);
  const phaseArgs = ['--phase', String(phase), '--rate-limit', '0'];
  const options = { args: [...phaseArgs, ...args], env: faults.env, dataDir: memoryDirectory(t) };
  const server = await startServer(t, options);
  return { server, faults };
}

function threads({ pid }: ServerProcess): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

async function queueDepth(server: ServerProcess): Promise<number> {
  return Number((await fetchOnce(server.port, { path: '/health' })).json().queueDepth);
}

describe('one request at a time', () => {
  it('stores requests of many connections in the order they are served, and answers each', async (t) => {
    const { server, faults } = await slowServer(t, 0);
    faults.set({ syncDelayMs: 20 });
    const names = Array.from({ length: 12 }, () => uniqueName('turn'));
    const responses = await Promise.all(names.map((name) => post(server.port, namesBody(name))));
    for (const response of responses) assertAccepted(response, 1);
    assert.deepEqual(
      readStored(server.dataDir)
        .map(({ name }) => name)
        .sort(),
      [...names].sort(),
    );
  });

  it('makes every client wait while the disk is slow', async (t) => {
    const { server, faults } = await slowServer(t, 0);
    faults.set({ syncDelayMs: SYNC_DELAY_MS });
    const connection = await RawConnection.open(server.port);
    const order: string[] = [];
    connection.send(postRequest(namesBody(uniqueName('slow'))));
    const stored = connection.read().then((response) => {
      order.push('stored');
      return response;
    });
    // The first request is on its way: its thread is in the sync when this one arrives.
    const health = fetchOnce(server.port, { path: '/health' }).then(() => order.push('health'));
    assertAccepted(await stored, 1);
    await health;
    connection.close();
    assert.equal(order.length, 2);
  });
});

for (const phase of [1, 5]) {
  describe(`a thread for each request, phase ${phase}`, () => {
    it('starts, and has ended once the answers are sent', async (t) => {
      const { server, faults } = await slowServer(t, phase);
      const resting = threads(server);
      const release = faults.hangSyncs();
      const waiting = Array.from({ length: 3 }, () => post(server.port, namesBody(uniqueName('thread'))));
      await eventually('three threads live', () => threads(server) >= resting + 3);
      release();
      for (const response of await Promise.all(waiting)) assertAccepted(response, 1);
      await eventually('they have ended', () => threads(server) === resting);
    });

    it('is refused with 503 at the limit of threads, and served once one has ended', async (t) => {
      const { server, faults } = await slowServer(t, phase, ['--request-threads', '2']);
      const release = faults.hangSyncs();
      const waiting = Array.from({ length: 2 }, () => post(server.port, namesBody(uniqueName('waiting'))));
      await eventually('both lanes are held', async () => (await queueDepth(server)) === 2);
      const refused = uniqueName('refused');
      const response = await post(server.port, namesBody(refused));
      const problem = assertProblem(response, 503);
      assertRetryAfter(response);
      assert.deepEqual([problem.reason, problem.queueDepth, problem.queueCapacity], ['queue_full', 2, 2]);
      release();
      for (const answer of await Promise.all(waiting)) assertAccepted(answer, 1);
      await eventually('a lane is free', async () => {
        return (await post(server.port, namesBody(uniqueName('after')))).status === 200;
      });
      assert.equal(countNames(readStored(server.dataDir)).get(refused), undefined);
    });

    it('is answered when the server drains, and stored', async (t) => {
      const { server, faults } = await slowServer(t, phase);
      const release = faults.hangSyncs();
      const names = Array.from({ length: 4 }, () => uniqueName('drain'));
      const connections = await Promise.all(names.map(() => RawConnection.open(server.port)));
      connections.forEach((connection, k) => {
        connection.send(postRequest(namesBody(names[k]!)));
      });
      await eventually('all are under way', async () => (await queueDepth(server)) === names.length);
      server.kill('SIGTERM');
      release();
      for (const connection of connections) assertAccepted(await connection.read(), 1);
      assert.deepEqual(await server.exited, CLEAN_EXIT);
      for (const connection of connections) connection.close();
      const counts = countNames(readStored(server.dataDir));
      for (const name of names) assert.equal(counts.get(name), 1);
    });
  });
}

describe('a thread that stops waiting for storage', () => {
  it('leaves its lane held until its lines are settled, and they are stored once', async (t) => {
    const { server, faults } = await slowServer(t, 5, [
      ...['--request-threads', '1', '--request-timeout-ms', '300'],
    ]);
    const release = faults.hangSyncs();
    const late = uniqueName('late');
    assertProblem(await post(server.port, namesBody(late)), 504);
    assertProblem(await post(server.port, namesBody(uniqueName('behind'))), 503);
    release();
    let next = '';
    await eventually('the lane is free', async () => {
      // A try that gets 504 may be stored.
      next = uniqueName('next');
      return (await post(server.port, namesBody(next))).status === 200;
    });
    const counts = countNames(readStored(server.dataDir));
    assert.deepEqual([counts.get(late), counts.get(next)], [1, 1]);
  });
});
