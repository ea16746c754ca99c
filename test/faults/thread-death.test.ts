/** A bug that ends a thread: what it owned cannot be trusted, so the process ends and the next start recovers. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { post } from '../support/raw-http.ts';
import { startServer, temporaryDirectory, verify } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { BUG_FILE_VARIABLE } from '../support/thread-bug.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const PRELOAD = fileURLToPath(new URL('../support/thread-bug.js', import.meta.url));

/** Lets a thread die under load, and checks how the process ends and what a restart finds. */
async function dieUnderLoad(
  t: TestContext,
  env: Record<string, string>,
  letDie: () => void,
  args: readonly string[] = ['--workers', '2'],
): Promise<void> {
  const server = await startServer(t, { args: [...args, '--rate-limit', '0'], env });
  const load = new TrackedLoad(server.port, {
    ...{ prefix: 'thread', connections: 8, batchMax: 10, refusalPauseMs: 10 },
  });
  t.after(() => load.stop());
  await eventually('the load runs', () => (load.ledger.statuses.get(200) ?? 0) >= 20, 30_000);
  letDie();
  const exit = await server.exited;
  await load.done;
  assert.notEqual(exit.code, 0);
  const fatal = server.logs.filter((line) => line.level === 'fatal');
  assert.match(JSON.stringify(fatal), /injected: a bug in/, server.output());

  const again = await startServer(t, { args: ['--workers', '1'], dataDir: server.dataDir });
  load.ledger.check(countNames(readStored(again.dataDir)), 'thread');
  assertAccepted(await post(again.port, namesBody(uniqueName('after'))), 1);
  assert.deepEqual(await again.stop(), { code: 0, signal: null });
  assert.equal((await verify(server.dataDir)).code, 0);
}

describe('a thread that dies', () => {
  it('ends the process and says why, be it the writer', async (t) => {
    const faults = new FaultSwitch(t);
    await dieUnderLoad(t, faults.env, () => faults.set({ crash: true }));
  });

  it('ends the process and says why, be it an ingest worker', async (t) => {
    const file = join(temporaryDirectory(t), 'bug');
    const env = { NODE_OPTIONS: `--import ${PRELOAD}`, [BUG_FILE_VARIABLE]: file };
    await dieUnderLoad(t, env, () => writeFileSync(file, ''));
  });

  it("ends the process and says why, be it a request's own", async (t) => {
    const file = join(temporaryDirectory(t), 'bug');
    const env = { NODE_OPTIONS: `--import ${PRELOAD}`, [BUG_FILE_VARIABLE]: file };
    await dieUnderLoad(t, env, () => writeFileSync(file, ''), ['--phase', '5']);
  });
});
