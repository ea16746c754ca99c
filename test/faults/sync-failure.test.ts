/** Failing syncs: the answers to clients, and how the process ends. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAccepted, assertProblem, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { post, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, startServer, verify } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

/** The contract says a second. A busy machine takes a few, and a server that drains instead takes 60. */
const EXIT_MS = 15_000;
/** Both writers, under every dispatcher. */
const PHASES = ['0', '1', '5', '6'];

/** Few: in some phases each starts a thread, and all must start before the process ends. */
const REQUESTS = 6;

describe('a sync that fails', () => {
  for (const phase of PHASES) {
    it(`gives 504 to its group, 503 to later requests, and ends the process with the range in doubt in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await startServer(t, {
        args: ['--phase', phase, '--workers', '2', '--rate-limit', '0'],
        env: faults.env,
        dataDir: memoryDirectory(t),
      });
      const early = uniqueName('early');
      assertAccepted(await post(server.port, namesBody(early)), 1);
      const connections = await Promise.all(
        Array.from({ length: REQUESTS }, () => RawConnection.open(server.port)),
      );
      const names = connections.map(() => uniqueName('doubt'));

      faults.set({ syncError: 'EIO', syncDelayMs: 100 });
      connections.forEach((connection, k) => {
        connection.send(postRequest(namesBody(names[k]!)));
      });
      const events = await Promise.all(connections.map((connection) => connection.next(60_000)));
      const failedAt = performance.now();
      for (const connection of connections) connection.send(postRequest(namesBody(uniqueName('later'))));
      for (const connection of connections) {
        const event = await connection.next(60_000);
        if (event.kind === 'response') assertProblem(event.response, 503);
      }
      const exit = await server.exited;
      const exitMs = performance.now() - failedAt;
      for (const connection of connections) connection.close();

      let unknown = 0;
      for (const event of events) {
        // The process ends within a second: a thread without a core for as long cannot answer.
        if (event.kind !== 'response') continue;
        // A request that came behind the failed group is refused.
        assert.ok([503, 504].includes(event.response.status), event.response.body.toString());
        if (event.response.status === 504) unknown += 1;
      }
      assert.ok(unknown > 0, 'no request got 504');
      assert.notEqual(exit.code, 0);
      assert.equal(exit.signal, null);
      assert.ok(exitMs < EXIT_MS, `ended after ${Math.round(exitMs)} ms`);
      const fatal = server.logs.filter((line) => line.level === 'fatal');
      assert.ok(fatal.length > 0, server.output());
      assert.match(JSON.stringify(fatal), /metrics-\d+\.ndjson/, 'the log names no file');

      const again = await startServer(t, { args: ['--workers', '1'], dataDir: server.dataDir });
      const counts = countNames(readStored(again.dataDir));
      assert.equal(counts.get(early), 1);
      names.forEach((name, k) => {
        const event = events[k];
        const refused = event?.kind === 'response' && event.response.status === 503;
        assert.ok((counts.get(name) ?? 0) <= (refused ? 0 : 1), name);
      });
      assertAccepted(await post(again.port, namesBody(uniqueName('after'))), 1);
    });
  }
  for (const phase of PHASES) {
    it(`in the background ends the process under --ack written too in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await startServer(t, {
        args: ['--phase', phase, '--workers', '1', '--ack', 'written', '--sync-interval-ms', '50'],
        env: faults.env,
      });
      assertAccepted(await post(server.port, namesBody(uniqueName('written'))), 1);
      faults.set({ syncError: 'EIO' });
      // The process may end before the thread of this request has a core to answer it.
      await post(server.port, namesBody(uniqueName('doubt'))).catch(() => null);
      const exit = await server.exited;
      assert.notEqual(exit.code, 0);
      assert.equal(exit.signal, null);
    });
  }
});

describe('a write that fails', () => {
  for (const phase of PHASES) {
    it(`half way leaves nothing of its group in the file, neither now nor behind what follows, in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await startServer(t, { args: ['--phase', phase, '--workers', '1'], env: faults.env });
      const [before, later] = [uniqueName('before'), uniqueName('later')];
      assertAccepted(await post(server.port, namesBody(before)), 1);
      faults.set({ tornError: 'ENOSPC' });
      const torn = Array.from({ length: 100 }, () => uniqueName('torn'));
      assertProblem(await post(server.port, namesBody(...torn)), 503);
      const namesStored = () => readStored(server.dataDir).map((stored) => stored.name);
      assert.deepEqual(namesStored(), [before]);
      faults.clear();
      await eventually('storage resumes', async () => {
        return (await post(server.port, namesBody(later))).status === 200;
      });
      assert.deepEqual(namesStored(), [before, later]);
      assert.equal((await verify(server.dataDir)).code, 0);
    });
  }
});
