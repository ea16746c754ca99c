import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { assertAccepted, assertProblem, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { fetchOnce, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, startServer, verify } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const CLEAN_EXIT = { code: 0, signal: null };
/** Well before the drain time of 60 s ends, also on a busy machine. */
const DRAIN_AHEAD_MS = 30_000;
const IN_FLIGHT = 200;

/** The head of a POST and the first bytes of its body; the rest never arrives. */
function beginPost(connection: RawConnection, name: string): void {
  const body = namesBody(name);
  connection.write(
    `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 9)}`,
  );
}

describe('SIGTERM', () => {
  it(`with ${IN_FLIGHT} requests waiting for a sync answers and stores them all, and exits 0`, async (t) => {
    const faults = new FaultSwitch(t);
    const server = await startServer(t, { args: ['--workers', '2', '--rate-limit', '0'], env: faults.env });
    const connections = await Promise.all(
      Array.from({ length: IN_FLIGHT }, () => RawConnection.open(server.port)),
    );
    const release = faults.hangSyncs();
    const names = connections.map(() => uniqueName('waiting'));
    connections.forEach((connection, k) => {
      connection.send(postRequest(namesBody(names[k]!)));
    });
    await eventually('all wait', async () => {
      const health = await fetchOnce(server.port, { path: '/health' });
      return Number(health.json().queueDepth) === IN_FLIGHT;
    });
    server.kill('SIGTERM');
    release();
    for (const connection of connections) {
      assertAccepted(await connection.read(), 1);
    }
    assert.deepEqual(await server.exited, CLEAN_EXIT);
    for (const connection of connections) connection.close();
    const counts = countNames(readStored(server.dataDir));
    for (const name of names) assert.equal(counts.get(name), 1);
    assert.equal((await verify(server.dataDir)).code, 0);
  });

  it(`under the load of ${IN_FLIGHT} connections stores exactly what it acknowledged, and exits 0 in time`, async (t) => {
    const server = await startServer(t, {
      args: ['--workers', '2', '--rate-limit', '0', '--drain-timeout-ms', '60000'],
    });
    const load = new TrackedLoad(server.port, { prefix: 'drain', connections: IN_FLIGHT, batchMax: 10 });
    await eventually('the load runs', () => (load.ledger.statuses.get(200) ?? 0) > 2 * IN_FLIGHT);
    const startedAt = performance.now();
    assert.deepEqual(await server.stop(), CLEAN_EXIT);
    assert.ok(performance.now() - startedAt < DRAIN_AHEAD_MS);
    await load.done;
    const { unknownStored } = load.ledger.check(countNames(readStored(server.dataDir)), 'drain');
    assert.equal(unknownStored, 0, 'stored without having been acknowledged');
    t.diagnostic(
      `acknowledged ${load.ledger.count('acknowledged')}, refused ${load.ledger.count('refused')}, ` +
        `not answered and not stored ${load.ledger.count('unknown')}`,
    );
    assert.equal((await verify(server.dataDir)).code, 0);
  });

  it('refuses bodies that do not arrive before the drain time ends, and stores none of them', async (t) => {
    const args = ['--workers', '2', '--drain-timeout-ms', '500'];
    const server = await startServer(t, { args, dataDir: memoryDirectory(t) });
    const connections = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(server.port)));
    const names = connections.map(() => uniqueName('half'));
    connections.forEach((connection, k) => {
      beginPost(connection, names[k]!);
    });
    assertAccepted(await post(server.port, namesBody(uniqueName('whole'))), 1);
    server.kill('SIGTERM');
    for (const connection of connections) {
      const event = await connection.next(60_000);
      if (event.kind === 'response') assertProblem(event.response, 503);
      else assert.equal(event.kind, 'closed');
      connection.close();
    }
    assert.deepEqual(await server.exited, CLEAN_EXIT);
    const counts = countNames(readStored(server.dataDir));
    for (const name of names) assert.equal(counts.get(name), undefined);
  });

  it('shows in /ready and POST on connections that are still open', async (t) => {
    const args = ['--workers', '1', '--drain-timeout-ms', '60000'];
    const server = await startServer(t, { args, dataDir: memoryDirectory(t) });
    const holding = await RawConnection.open(server.port);
    const asking = await RawConnection.open(server.port);
    const posting = await RawConnection.open(server.port);
    for (const connection of [asking, posting]) await connection.request({ path: '/ready' });
    beginPost(holding, uniqueName('half'));
    await delay(50);
    server.kill('SIGTERM');
    await server.logged((line) => /drain|stop|shut/i.test(String(line.msg)));
    assert.equal((await asking.request({ path: '/ready' })).status, 503);
    const problem = assertProblem(await posting.request(postRequest(namesBody(uniqueName('late')))), 503);
    assert.equal(problem.reason, 'draining');
    await assert.rejects(fetchOnce(server.port, { path: '/ready' }), 'a new connection was served');
    for (const connection of [holding, asking, posting]) connection.close();
    assert.deepEqual(await server.exited, CLEAN_EXIT);
  });

  it('given twice ends the server at once and loses nothing acknowledged', async (t) => {
    const server = await startServer(t, { args: ['--workers', '2', '--drain-timeout-ms', '60000'] });
    const load = new TrackedLoad(server.port, { prefix: 'twice', connections: 20, batchMax: 10 });
    const holding = await RawConnection.open(server.port);
    beginPost(holding, uniqueName('half'));
    await eventually('the load runs', () => (load.ledger.statuses.get(200) ?? 0) > 100);
    server.kill('SIGTERM');
    await server.logged((line) => /drain|stop|shut/i.test(String(line.msg)));
    // A repeat within 200 ms counts as the same Ctrl-C: see the next test.
    await delay(300);
    const startedAt = performance.now();
    server.kill('SIGTERM');
    await server.exited;
    assert.ok(performance.now() - startedAt < DRAIN_AHEAD_MS);
    holding.close();
    await load.done;
    const again = await startServer(t, { args: ['--workers', '1'], dataDir: server.dataDir });
    load.ledger.check(countNames(readStored(again.dataDir)), 'twice');
  });

  it('passed on by npm on top of the terminal is still one Ctrl-C', async (t) => {
    const server = await startServer(t);
    // Two of the same kind would be one to the kernel, too. Stopped, the server gets both at once on a busy machine, too.
    for (const signal of ['SIGSTOP', 'SIGINT', 'SIGTERM', 'SIGCONT'] as const) server.kill(signal);
    assert.deepEqual(await server.exited, CLEAN_EXIT);
  });
});

/** Answers to a request whose sync hangs, and the end of the warning. */
const WITH_HUNG_DISK = [
  { ack: 'synced', status: 504, losing: /loses nothing that was acknowledged$/ },
  { ack: 'written', status: 200, losing: /only if the machine fails too$/ },
  { ack: 'received', status: 202, losing: /may lose acknowledged metrics$/ },
] as const;

describe('SIGTERM while a sync hangs', () => {
  for (const { ack, status, losing } of WITH_HUNG_DISK) {
    it(`warns after the drain time under --ack ${ack}, waits for the disk, stores and exits 0`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await startServer(t, {
        args: ['--phase', '6', '--workers', '1', '--ack', ack, '--drain-timeout-ms', '100ms'],
        env: faults.env,
        dataDir: memoryDirectory(t),
      });
      const release = faults.hangSyncs();
      const name = uniqueName('hung');
      const connection = await RawConnection.open(server.port);
      connection.send(postRequest(namesBody(name)));
      await eventually('the line is written', () => countNames(readStored(server.dataDir)).has(name));
      // The others are answered before the sync, so before the drain.
      const early = ack === 'synced' ? undefined : await connection.read();
      server.kill('SIGTERM');
      assert.equal((early ?? (await connection.read())).status, status);
      connection.close();
      const warning = await server.logged(({ msg = '' }) => msg.startsWith('waiting for the disk'));
      assert.equal(warning.level, 'warn');
      assert.match(warning.msg ?? '', /a second signal ends at once/);
      assert.match(warning.msg ?? '', losing);
      assert.ok(existsSync(`/proc/${server.pid}`), 'ended before the disk answered');
      release();
      assert.deepEqual(await server.exited, CLEAN_EXIT);
      assert.equal(server.logs.filter(({ msg }) => msg === warning.msg).length, 1);
      assert.equal(countNames(readStored(server.dataDir)).get(name), 1);
      assert.equal((await verify(server.dataDir)).code, 0);
    });
  }
});

describe('SIGINT', () => {
  it('ends the server like SIGTERM', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    assertAccepted(await post(server.port, namesBody(uniqueName('a'))), 1);
    server.kill('SIGINT');
    assert.deepEqual(await server.exited, CLEAN_EXIT);
  });
});

describe('a server that never got a request', () => {
  it('ends cleanly and leaves a directory that verifies and can be started on again', async (t) => {
    const server = await startServer(t);
    assert.deepEqual(await server.stop(), CLEAN_EXIT);
    assert.equal((await verify(server.dataDir)).code, 0);
    const again = await startServer(t, { dataDir: server.dataDir });
    assertAccepted(await post(again.port, namesBody(uniqueName('a'))), 1);
    assert.deepEqual(await again.stop(), CLEAN_EXIT);
  });
});
