/** Storage that fails: what clients are told, and how the process ends or goes on. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAccepted, assertProblem, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { fetchOnce, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { startServer, verify } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { requireTool } from '../support/tools.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

/** "Within a second" of the contract, and as much again for a busy machine. */
const EXIT_MS = 2_000;
/** Both writers, under every dispatcher. */
const PHASES = ['0', '1', '5', '6'];

describe('a sync that fails', () => {
  for (const phase of PHASES) {
    it(`gives 504 to its group, 503 to later requests, and ends the process with the range in doubt in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await startServer(t, {
        args: ['--phase', phase, '--workers', '2', '--rate-limit', '0'],
        env: faults.env,
      });
      const early = uniqueName('early');
      assertAccepted(await post(server.port, namesBody(early)), 1);
      const connections = await Promise.all(
        Array.from({ length: 20 }, () => RawConnection.open(server.port)),
      );
      const names = connections.map(() => uniqueName('doubt'));

      faults.set({ syncError: 'EIO', syncDelayMs: 100 });
      connections.forEach((connection, k) => {
        connection.send(postRequest(namesBody(names[k]!)));
      });
      const events = await Promise.all(connections.map((connection) => connection.next(10_000)));
      const failedAt = performance.now();
      for (const connection of connections) connection.send(postRequest(namesBody(uniqueName('later'))));
      for (const connection of connections) {
        const event = await connection.next(10_000);
        if (event.kind === 'response') assertProblem(event.response, 503);
      }
      const exit = await server.exited;
      const exitMs = performance.now() - failedAt;
      for (const connection of connections) connection.close();

      let unknown = 0;
      for (const event of events) {
        assert.equal(event.kind, 'response');
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
      faults.set({ syncError: 'EIO' });
      assertAccepted(await post(server.port, namesBody(uniqueName('written'))), 1);
      const exit = await server.exited;
      assert.notEqual(exit.code, 0);
      assert.equal(exit.signal, null);
    });
  }
  it('as the kernel reports it, does the same', { skip: requireTool('strace') }, async (t) => {
    const inject = ['-e', 'trace=fdatasync,fsync', '-e', 'inject=fdatasync:error=EIO:when=20+'];
    const server = await startServer(t, {
      args: ['--workers', '1', '--rate-limit', '0'],
      wrapper: ['strace', '--follow-forks', '--quiet=all', '--output=/dev/null', '--seccomp-bpf', ...inject],
    });
    const load = new TrackedLoad(server.port, {
      prefix: 'strace',
      connections: 8,
      batchMax: 5,
      refusalPauseMs: 5,
    });
    const exit = await server.exited;
    await load.done;
    assert.notEqual(exit.code, 0);
    const { statuses } = load.ledger;
    assert.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(504) ?? 0) > 0, JSON.stringify([...statuses]));
    const again = await startServer(t, { args: ['--workers', '1'], dataDir: server.dataDir });
    load.ledger.check(countNames(readStored(again.dataDir)), 'strace');
    assert.deepEqual(await again.stop(), { code: 0, signal: null });
    assert.equal((await verify(server.dataDir)).code, 0);
  });
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
  it('gives 503, stores nothing of it, and storage resumes by itself', async (t) => {
    const faults = new FaultSwitch(t);
    const server = await startServer(t, { args: ['--workers', '1', '--rate-limit', '0'], env: faults.env });
    const load = new TrackedLoad(server.port, {
      prefix: 'write',
      connections: 8,
      batchMax: 20,
      refusalPauseMs: 10,
    });
    const { statuses } = load.ledger;
    const after = async (status: number) => {
      const before = statuses.get(status) ?? 0;
      const deadline = performance.now() + 20_000;
      while ((statuses.get(status) ?? 0) < before + 20) {
        assert.ok(performance.now() < deadline, `no more ${status}: ${JSON.stringify([...statuses])}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    await after(200);
    for (const kind of [{ writeError: 'ENOSPC' }, { tornError: 'ENOSPC' }, { tornError: 'EIO' }]) {
      faults.set(kind);
      await after(503);
      assertProblem(await fetchOnce(server.port, { path: '/ready' }), 503);
      faults.clear();
      await after(200);
    }
    await load.stop();
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    load.ledger.check(countNames(readStored(server.dataDir)), 'write');
    assert.equal((await verify(server.dataDir)).code, 0);
  });
});
