/** The storage breaker in a real server, from outside: causes that open it, responses, metrics and logs, recovery. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PERMITS } from '../../src/breaker/breaker.ts';
import { assertAccepted, assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { Scrape } from '../support/exposition.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { fetchOnce, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, type ServerProcess, startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const FAILURES = 3;
/** Every dispatcher, each writer. */
const PHASES = ['0', '1', '2', '6'];
const BREAKER_ARGS = ['--breaker-failures', String(FAILURES), '--breaker-open-ms', '300'];

async function start(owner: Owner, phase: string, faults: FaultSwitch, args: readonly string[] = []) {
  return startServer(owner, {
    args: ['--phase', phase, '--workers', '2', '--rate-limit', '0', ...BREAKER_ARGS, ...args],
    env: faults.env,
    // A stall of the real disk would open the breaker, too.
    dataDir: memoryDirectory(owner),
  });
}

async function stateOf({ port }: ServerProcess): Promise<number> {
  return (await Scrape.of(port)).sum('metricsstream_breaker_state', 'stage="storage"');
}

async function transitionsOf({ port }: ServerProcess): Promise<number[]> {
  const scrape = await Scrape.of(port);
  return ['open', 'half_open', 'closed'].map((to) => {
    return scrape.sum('metricsstream_breaker_transitions_total', `to="${to}"`);
  });
}

/** Posts one metric and returns its name. */
async function store({ port }: ServerProcess): Promise<string> {
  const name = uniqueName('stored');
  assertAccepted(await post(port, namesBody(name)), 1);
  return name;
}

/** Posts until one metric is stored; all others must be refused. Returns its name. */
async function storedAtLast({ port }: ServerProcess, refused: string[]): Promise<string> {
  let stored = '';
  await eventually('metrics are taken again', async () => {
    const name = uniqueName('again');
    const response = await post(port, namesBody(name));
    if (response.status === 200) stored = name;
    else {
      assertProblem(response, 503);
      refused.push(name);
    }
    return stored !== '';
  });
  return stored;
}

/** Fails writes until the breaker is open; returns the names that were refused. */
async function forceOpen(server: ServerProcess, faults: FaultSwitch): Promise<string[]> {
  faults.set({ writeError: 'EIO' });
  const refused: string[] = [];
  for (let k = 0; k < FAILURES; k++) {
    const name = uniqueName('failed');
    refused.push(name);
    const problem = assertProblem(await post(server.port, namesBody(name)), 503);
    assert.equal(problem.reason, 'disk_failed', `write ${k + 1}`);
  }
  return refused;
}

describe('writes that fail', () => {
  for (const phase of PHASES) {
    it(`open the breaker at the threshold, and a commit that is stored closes it, in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await start(t, phase, faults);
      const stored = [await store(server)];
      assert.equal(await stateOf(server), 0);

      const refused = await forceOpen(server, faults);
      for (let k = 0; k < 5; k++) {
        const name = uniqueName('refused');
        refused.push(name);
        const response = await post(server.port, namesBody(name));
        const { queueDepth, queueCapacity, ...problem } = assertProblem(response, 503);
        // Equal in all phases except for the queue's size.
        assert.deepEqual(problem, {
          type: 'urn:metricsstream:problem:breaker_open',
          title: 'Service Unavailable',
          status: 503,
          detail:
            'Nothing was stored: Storage failed too often or took too long, and now has time to recover. Try again later.',
          reason: 'breaker_open',
        });
        assert.equal(typeof queueDepth, 'number');
        assert.ok(Number(queueCapacity) >= 1);
        assertRetryAfter(response);
      }
      const ready = assertProblem(await fetchOnce(server.port, { path: '/ready' }), 503);
      assert.equal(ready.reason, 'breaker_open');
      assert.equal((await fetchOnce(server.port, { path: '/health' })).status, 200);
      assert.equal(await stateOf(server), 1);
      assert.deepEqual(await transitionsOf(server), [1, 0, 0]);
      const opened = await server.logged(({ stage, to }) => stage === 'storage' && to === 'open');
      assert.equal(opened.level, 'error');
      assert.equal(opened.reason, `${FAILURES} commits in a row failed, the last: EIO`);
      const scrape = await Scrape.of(server.port);
      assert.equal(scrape.sum('metricsstream_requests_unavailable_total', 'reason="breaker_open"'), 5);
      assert.equal(scrape.sum('metricsstream_write_errors_total'), FAILURES);

      faults.clear();
      stored.push(await storedAtLast(server, refused));
      stored.push(await store(server));
      assert.equal((await fetchOnce(server.port, { path: '/ready' })).status, 200);
      assert.equal(await stateOf(server), 0);
      assert.deepEqual(await transitionsOf(server), [1, 1, 1]);
      for (const to of ['half_open', 'closed']) await server.logged((line) => line.to === to);
      const summary = await fetchOnce(server.port, {
        path: '/metrics',
        headers: { Accept: 'application/json' },
      });
      assert.deepEqual(summary.json().breaker, {
        state: 'closed',
        transitions: { closed: 1, open: 1, half_open: 1 },
      });
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.deepEqual(
        readStored(server.dataDir).map(({ name }) => name),
        stored,
      );
    });
  }

  for (const phase of ['0', '2', '6']) {
    it(`under load lose nothing acknowledged and store nothing refused, in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await start(t, phase, faults);
      const load = new TrackedLoad(server.port, {
        prefix: 'breaker',
        connections: 4,
        batchMax: 10,
        refusalPauseMs: 10,
      });
      t.after(() => load.stop());
      const { ledger } = load;
      const answered = (status: number): number => ledger.statuses.get(status) ?? 0;
      for (const fault of [{ writeError: 'EIO' }, { tornError: 'EIO' }]) {
        const before = answered(200);
        await eventually('requests are stored', () => answered(200) >= before + 5, 180_000);
        faults.set(fault);
        await eventually('the breaker is open', async () => (await stateOf(server)) === 1);
        faults.clear();
        await eventually('the breaker is closed', async () => (await stateOf(server)) === 0);
      }
      await load.stop();
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.deepEqual(
        [...ledger.statuses.keys()].filter((status) => status !== 200 && status !== 503),
        [],
      );
      ledger.check(countNames(readStored(server.dataDir)), 'breaker');
    });
  }
});

describe('a half-open breaker', () => {
  for (const phase of ['0', '6']) {
    it(`has permits for others, however many requests are refused for what they hold, in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await start(t, phase, faults);
      const refused = await forceOpen(server, faults);
      faults.clear();
      await eventually('it is half open', async () => (await stateOf(server)) === 2);
      // If a balancer sent nothing now, the breaker could not close.
      assert.equal((await fetchOnce(server.port, { path: '/ready' })).status, 200);
      for (let k = 0; k < 4 * PERMITS; k++) {
        assert.equal((await post(server.port, '{"metrics":[')).status, 400);
      }
      assert.equal(await stateOf(server), 2);
      const stored = await storedAtLast(server, refused);
      assert.equal(await stateOf(server), 0);
      assert.deepEqual(
        readStored(server.dataDir).map(({ name }) => name),
        [stored],
      );
    });
  }
});

describe('a sync that stalls', () => {
  for (const phase of ['1', '2', '6']) {
    it(`opens the breaker: requests get 503 at once, until it returns, in phase ${phase}`, async (t) => {
      const faults = new FaultSwitch(t);
      const server = await start(t, phase, faults, ['--sync-timeout-ms', '500']);
      const stored = [await store(server)];
      const waiting = await RawConnection.open(server.port);
      const release = faults.hangSyncs();
      stored.push(uniqueName('waiting'));
      waiting.send(postRequest(namesBody(stored.at(-1)!)));
      await eventually('the breaker is open', async () => (await stateOf(server)) === 1);
      const response = await post(server.port, namesBody(uniqueName('refused')));
      assert.equal(assertProblem(response, 503).reason, 'breaker_open');
      assertRetryAfter(response);
      assertProblem(await fetchOnce(server.port, { path: '/ready' }), 503);
      const opened = await server.logged(({ to }) => to === 'open');
      assert.match(String(opened.reason), /^a sync has not returned for \d+ ms$/);
      assert.equal((await Scrape.of(server.port)).sum('metricsstream_timeouts_total', 'kind="sync"'), 1);

      // It returns before the request's own timeout.
      release();
      assertAccepted(await waiting.read(), 1);
      waiting.close();
      stored.push(await storedAtLast(server, []));
      assert.equal(await stateOf(server), 0);
      assert.deepEqual(await transitionsOf(server), [1, 1, 1]);
      assert.equal((await Scrape.of(server.port)).sum('metricsstream_timeouts_total', 'kind="sync"'), 1);
      assert.deepEqual(
        readStored(server.dataDir).map(({ name }) => name),
        stored,
      );
    });
  }

  it('is detected by main if the answering thread waits for it, in phase 0', async (t) => {
    const faults = new FaultSwitch(t);
    const server = await start(t, '0', faults, ['--sync-timeout-ms', '500']);
    const release = faults.hangSyncs();
    const storing = store(server);
    await server.logged(({ to }) => to === 'open');
    release();
    const stored = [await storing];
    stored.push(await storedAtLast(server, []));
    assert.deepEqual(await transitionsOf(server), [1, 1, 1]);
    assert.equal((await Scrape.of(server.port)).sum('metricsstream_timeouts_total', 'kind="sync"'), 1);
    assert.deepEqual(
      readStored(server.dataDir).map(({ name }) => name),
      stored,
    );
  });

  it('in the background opens it under --ack written, too', async (t) => {
    const faults = new FaultSwitch(t);
    const args = ['--sync-timeout-ms', '500', '--ack', 'written', '--sync-interval-ms', '50'];
    const server = await start(t, '6', faults, args);
    const release = faults.hangSyncs();
    const stored = [await store(server)];
    await eventually('the breaker is open', async () => (await stateOf(server)) === 1);
    const problem = assertProblem(await post(server.port, namesBody(uniqueName('refused'))), 503);
    assert.equal(problem.reason, 'breaker_open');
    release();
    stored.push(await storedAtLast(server, []));
    assert.equal(await stateOf(server), 0);
    assert.deepEqual(
      readStored(server.dataDir).map(({ name }) => name),
      stored,
    );
  });
});
