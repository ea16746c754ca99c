/** The load generator through `kill -9` of the server: with keys and retries every request ends with 200 and is stored once. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { freePort } from '../../load-test/free-port.ts';
import { createPlan, type LoadResult } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import { eventually } from '../support/assertions.ts';
import { startServer, temporaryDirectory, WITH_WAL } from '../support/server-process.ts';

const KILLS = 2;
const CLIENTS = 8;
/** Enough for a start on a busy machine. */
const RETRIES = 50;
/** Answers before each kill, and behind the last one. */
const BETWEEN = 60;
const PATIENCE_MS = 180_000;

it(`stores each metric once through ${KILLS} kills, and no request ends without its answer`, async (t) => {
  const [port, dataDir] = [await freePort(), temporaryDirectory(t)];
  const start = () =>
    startServer(t, { dataDir, args: ['--port', String(port), '--workers', '1'], env: WITH_WAL });
  let server = await start();
  let answers = 0;
  const plan = createPlan({
    ...{ port, dataDir, clients: CLIENTS, batch: 5, retries: RETRIES, watchStorage: false },
    ...{ timeoutMs: PATIENCE_MS, storedWithinMs: PATIENCE_MS },
    load: { kind: 'closed', durationMs: 10 * PATIENCE_MS, intervalMs: 5 },
  });
  const ending = new AbortController();
  const running: Promise<LoadResult> = runLoad(plan, {
    signal: ending.signal,
    onProgress: ({ outcomes }) => {
      answers = outcomes['200'] ?? 0;
    },
  });
  const moreAnswers = async () => {
    const enough = answers + BETWEEN;
    await eventually('requests are answered', () => answers >= enough);
  };
  for (let kill = 1; kill <= KILLS; kill++) {
    await moreAnswers();
    server.kill('SIGKILL');
    await server.exited;
    server = await start();
  }
  await moreAnswers();
  ending.abort();
  const result = await running;
  assert.deepEqual(result.outcomes, { 200: result.sent });
  assert.ok(result.retries > 0, 'the kills met requests under way');
  assert.deepEqual(
    [result.check.ok, result.check.missing, result.check.duplicated, result.check.unknown],
    [true, 0, 0, 0],
    result.check.detail,
  );
  t.diagnostic(`${result.retries} sent again, ${result.replays} of them were stored already`);
});
