/** The load generator through `kill -9` of the server: with keys and retries every request ends with 200 and is stored once. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createPlan, type LoadResult } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import { eventually } from '../support/assertions.ts';
import { freePort } from '../support/free-port.ts';
import { startServer, temporaryDirectory, WITH_WAL } from '../support/server-process.ts';

const KILLS = 2;
const REQUESTS = 300;
const CLIENTS = 8;
/** Enough for a start on a busy machine. */
const RETRIES = 50;
/** Answers between two kills. */
const BETWEEN = 60;

it(`stores each metric once through ${KILLS} kills, and no request ends without its answer`, async (t) => {
  const [port, dataDir] = [await freePort(), temporaryDirectory(t)];
  const start = () =>
    startServer(t, { dataDir, args: ['--port', String(port), '--workers', '1'], env: WITH_WAL });
  let server = await start();
  let answers = 0;
  const plan = createPlan({
    ...{ port, dataDir, clients: CLIENTS, batch: 5, retries: RETRIES, watchStorage: false },
    load: { kind: 'closed', requestsPerClient: REQUESTS, intervalMs: 5 },
  });
  const running: Promise<LoadResult> = runLoad(plan, {
    onProgress: ({ outcomes }) => {
      answers = outcomes['200'] ?? 0;
    },
  });
  for (let kill = 1; kill <= KILLS; kill++) {
    await eventually('requests are answered', () => answers >= kill * BETWEEN);
    server.kill('SIGKILL');
    await server.exited;
    server = await start();
  }
  const result = await running;
  assert.deepEqual(result.outcomes, { 200: CLIENTS * REQUESTS });
  assert.ok(result.retries > 0, 'the kills met requests under way');
  assert.deepEqual(
    [result.check.ok, result.check.missing, result.check.duplicated, result.check.unknown],
    [true, 0, 0, 0],
    result.check.detail,
  );
  t.diagnostic(`${result.retries} sent again, ${result.replays} of them were stored already`);
});
