import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { FATE_ACCEPTED, FATE_REFUSED, FATE_UNKNOWN } from '../../load-test/generator/messages.ts';
import { createPlan } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import { checkFiles, type FileCheckOptions } from '../../load-test/storage/stored-check.ts';
import { startServer } from '../support/server-process.ts';
import { segmentPaths } from '../support/stored.ts';

const BATCH = 3;
const REQUESTS = 40;
const ACCEPTED = REQUESTS * BATCH;
/** A disk that stalls, and the machine, may take as long. */
const PATIENCE = { timeoutMs: 180_000, storedWithinMs: 180_000 } as const;

interface Stored {
  readonly path: string;
  readonly options: FileCheckOptions;
  readonly fates: Uint8Array;
}

/** A real server's files after a load of one client, and its answers. */
async function storedLoad(context: TestContext, segmentBytes?: number): Promise<Stored> {
  const args = ['--workers', '1', ...(segmentBytes ? ['--segment-bytes', String(segmentBytes)] : [])];
  const server = await startServer(context, { args });
  const { dataDir, port } = server;
  const result = await runLoad(
    createPlan({
      port,
      dataDir,
      clients: 1,
      batch: BATCH,
      load: { kind: 'closed', requestsPerClient: REQUESTS, intervalMs: 0 },
      ...PATIENCE,
    }),
  );
  assert.equal(result.check.kind, 'files');
  assert.equal(result.check.ok, true, result.check.detail);
  assert.equal(result.check.stored, ACCEPTED);
  await server.stop();
  return {
    path: segmentPaths(dataDir)[0] ?? '',
    options: { dataDir, from: { sequence: 0, offset: 0 }, runId: result.runId, withinMs: 0 },
    fates: new Uint8Array(REQUESTS).fill(FATE_ACCEPTED),
  };
}

const check = ({ options, fates }: Stored, acceptedMetrics = ACCEPTED, unknownRequests = 0) =>
  checkFiles(options, { acceptedMetrics, unknownRequests, batch: BATCH, fates: [fates] });

describe('accepted = stored, read from the files,', { concurrency: 4 }, () => {
  it('holds for the files of a server', async (context) => {
    const { ok, missing, duplicated, refusedButStored, stored } = await check(await storedLoad(context));
    assert.deepEqual(
      { ok, missing, duplicated, refusedButStored, stored },
      { ok: true, missing: 0, duplicated: 0, refusedButStored: 0, stored: ACCEPTED },
    );
  });

  it('fails when a line is missing', async (context) => {
    const stored = await storedLoad(context);
    const lines = readFileSync(stored.path, 'latin1').split('\n');
    lines.splice(10, 1);
    writeFileSync(stored.path, lines.join('\n'), 'latin1');
    const result = await check(stored);
    assert.equal(result.ok, false);
    assert.ok((result.missing ?? 0) >= 1);
    assert.match(result.detail, /accepted metrics are not in the files/);
  });

  it('fails when a byte differs, because its commit is no longer proved', async (context) => {
    const stored = await storedLoad(context);
    const bytes = readFileSync(stored.path);
    bytes[bytes.indexOf('"host":"web-') + 12]! ^= 1;
    writeFileSync(stored.path, bytes);
    const result = await check(stored);
    assert.equal(result.ok, false);
    assert.ok((result.missing ?? 0) >= 1);
  });

  it('fails when a commit is there twice', async (context) => {
    const stored = await storedLoad(context);
    const text = readFileSync(stored.path, 'latin1');
    const firstCommit = text.slice(0, text.indexOf('\n', text.indexOf('"seal"')) + 1);
    appendFileSync(stored.path, firstCommit, 'latin1');
    const result = await check(stored);
    assert.equal(result.ok, false);
    assert.ok((result.duplicated ?? 0) >= 1);
  });

  it('fails when a refused request is stored', async (context) => {
    const stored = await storedLoad(context);
    stored.fates[7] = FATE_REFUSED;
    const result = await check(stored, ACCEPTED - BATCH);
    assert.equal(result.ok, false);
    assert.equal(result.refusedButStored, BATCH);
  });

  it('accepts a request without an answer, whether stored or not', async (context) => {
    const stored = await storedLoad(context);
    stored.fates[7] = FATE_UNKNOWN;
    const there = await check(stored, ACCEPTED - BATCH, 1);
    assert.equal(there.ok, true, there.detail);
    assert.equal(there.unknown, BATCH);
    const missing = await checkFiles(stored.options, {
      acceptedMetrics: ACCEPTED,
      unknownRequests: 1,
      batch: BATCH,
      fates: [Uint8Array.of(...new Uint8Array(REQUESTS).fill(FATE_ACCEPTED), FATE_UNKNOWN)],
    });
    assert.equal(missing.ok, true, missing.detail);
  });

  it('reads on over several files', async (context) => {
    const stored = await storedLoad(context, 65_536);
    assert.equal((await check(stored)).ok, true);
  });

  it('finds a sample of the requests while the load runs', async (context) => {
    const { port, dataDir } = await startServer(context, { args: ['--workers', '1', '--ack', 'synced'] });
    // Longer than the watcher rests when a look took long.
    const load = { kind: 'closed', requestsPerClient: 50, intervalMs: 100 } as const;
    const plan = createPlan({ port, dataDir, clients: 4, batch: BATCH, load, ...PATIENCE });
    const { storageLatency } = await runLoad(plan);
    assert.ok(storageLatency !== undefined);
    assert.ok(storageLatency.found > 0);
    assert.equal(storageLatency.found + storageLatency.skipped, storageLatency.sampled);
    assert.equal(storageLatency.latency.count, storageLatency.found);
  });
});
