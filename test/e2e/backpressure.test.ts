/** Adaptive admission in a real server over a slow disk, from outside. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAccepted, assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { Scrape } from '../support/exposition.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { post } from '../support/raw-http.ts';
import { memoryDirectory, startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

/** 2.5 MB/s. */
const MS_PER_MIB = 400;
/** All requests in flight together take this disk half a second or more. */
const CLIENTS = { connections: 48, batchMax: 60, paddingBytes: 600 };
const REFUSALS = 50;

describe('a disk slower than the load', () => {
  it('stays busy, and the rest gets 503 at once; acknowledged metrics are stored, refused ones are not', async (t) => {
    const faults = new FaultSwitch(t);
    faults.set({ syncMsPerMib: MS_PER_MIB });
    const args = ['--rate-limit', '0', '--target-delay-ms', '50'];
    const server = await startServer(t, { args, env: faults.env, dataDir: memoryDirectory(t) });
    const load = new TrackedLoad(server.port, { prefix: 'overload', refusalPauseMs: 20, ...CLIENTS });
    const { statuses, samples } = load.ledger;
    await eventually('requests are refused, and others stored', () => {
      return (statuses.get(503) ?? 0) >= REFUSALS && (statuses.get(200) ?? 0) >= REFUSALS;
    });
    const scrape = await Scrape.of(server.port);
    await load.stop();
    assert.deepEqual([...statuses.keys()].sort(), [200, 503]);

    const refusal = samples.get(503)!;
    const problem = assertProblem(refusal, 503);
    assert.equal(problem.reason, 'overloaded');
    assert.ok(assertRetryAfter(refusal) <= 3);
    for (const member of ['queueDepth', 'queueCapacity', 'delayMs', 'targetDelayMs']) {
      assert.equal(typeof problem[member], 'number', member);
    }
    assert.ok(scrape.sum('metricsstream_requests_unavailable_total', 'reason="overloaded"') > 0);
    assert.ok(scrape.sum('metricsstream_admission_limit_bytes') > 0);
    assert.ok(scrape.sum('metricsstream_admission_delay_seconds') > 0);
    assert.ok(scrape.sum('metricsstream_admission_target_delay_seconds') >= 0.05);

    assertAccepted(await post(server.port, namesBody(uniqueName('alone'))), 1);
    load.ledger.check(countNames(readStored(server.dataDir)), 'overload');
  });

  it('fills the queue instead with --target-delay-ms 0', async (t) => {
    const faults = new FaultSwitch(t);
    faults.set({ syncMsPerMib: MS_PER_MIB });
    const args = ['--rate-limit', '0', '--target-delay-ms', '0'];
    const server = await startServer(t, { args, env: faults.env, dataDir: memoryDirectory(t) });
    const load = new TrackedLoad(server.port, { prefix: 'static', ...CLIENTS });
    await eventually(
      'requests are stored',
      () => (load.ledger.statuses.get(200) ?? 0) >= CLIENTS.connections,
    );
    await load.stop();
    assert.deepEqual([...load.ledger.statuses.keys()], [200]);
  });
});
