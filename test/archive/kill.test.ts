/**
 * The archiver is killed at random moments while a server writes, rotates and is killed too. At sampled moments and at
 * the end each acknowledged metric counts exactly once. `npm run test:archive-kills` does 100 rounds.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/assertions.ts';
import { type Owner, onEnd, suiteOwner } from '../support/clean-up.ts';
import { verified } from '../support/damage.ts';
import {
  runCli,
  type ServerProcess,
  startServer,
  temporaryDirectory,
  WITH_WAL,
} from '../support/server-process.ts';
import { countNames } from '../support/stored.ts';
import { openReader, readMetrics } from '../support/stored-metrics.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const ROUNDS = Number(process.env.METRICSSTREAM_TEST_ARCHIVE_KILLS ?? 10);
/** The server is killed in each of these rounds. */
const SERVER_KILL_EVERY = 3;
/** Reading everything costs more with each round. */
const SAMPLES = 5;
const KILL_AFTER_MAX_MS = 900;
const SERVER_ARGS = ['--workers', '1', '--segment-bytes', '64k'];
const ARCHIVE_ARGS = ['--interval', '100ms', '--delete-segments', '--priority', 'normal'];

function startArchiver(owner: Owner, dataDir: string) {
  const child = spawn(process.execPath, [MAIN, 'archive', '--data-dir', dataDir, ...ARCHIVE_ARGS], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  onEnd(owner, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { child, exited, firstPass: once(child.stdout, 'data') };
}

/** Batches, merges and the deletion of segments are all under way at some kill. */
describe('kill -9 of the archiver, beside a server that is killed too', () => {
  const owner = suiteOwner();

  it(`loses and doubles nothing in ${ROUNDS} rounds`, async () => {
    const dataDir = temporaryDirectory(owner);
    const database = await openReader();
    onEnd(owner, () => database.closeSync());
    const loads: { load: TrackedLoad; prefix: string }[] = [];
    const run = async (round: number): Promise<{ server: ServerProcess; load: TrackedLoad }> => {
      const server = await startServer(owner, { dataDir, args: SERVER_ARGS, env: WITH_WAL });
      const prefix = `kill${round}`;
      const load = new TrackedLoad(server.port, { prefix, connections: 2, batchMax: 40, pauseMs: 2 });
      loads.push({ load, prefix });
      return { server, load };
    };
    const seen = new Set<string>();
    /** The write-ahead log may hold an acknowledged metric a moment longer. A metric that was seen once never disappears. */
    const check = async (): Promise<void> => {
      const acknowledged = loads.flatMap(({ load }) =>
        [...load.ledger.fates].filter(([, fate]) => fate === 'acknowledged').map(([name]) => name),
      );
      await eventually('every acknowledged metric is stored', async () => {
        const counts = countNames(await readMetrics(database, dataDir));
        for (const [name, count] of counts) assert.equal(count, 1, name);
        for (const name of seen) assert.equal(counts.get(name), 1, name);
        for (const name of counts.keys()) seen.add(name);
        return acknowledged.every((name) => counts.has(name));
      });
    };
    let { server, load } = await run(0);
    for (let round = 1; round <= ROUNDS; round++) {
      const { child, exited, firstPass } = startArchiver(owner, dataDir);
      // Half of the kills come while it starts or in its first pass, half in a later one.
      if (round % 2 === 0) await Promise.race([firstPass, exited]);
      assert.equal(child.exitCode, null, 'the archiver runs');
      await delay(Math.random() * KILL_AFTER_MAX_MS);
      if (round % SERVER_KILL_EVERY === 0) {
        server.kill('SIGKILL');
        await Promise.all([server.exited, load.done]);
        ({ server, load } = await run(round));
      }
      child.kill('SIGKILL');
      await exited;
      if (round % Math.ceil(ROUNDS / SAMPLES) === 0) await check();
    }
    await load.stop();
    await server.stop();
    const last = await runCli([
      'archive',
      '--once',
      '--delete-segments',
      '--priority',
      'normal',
      '--data-dir',
      dataDir,
    ]);
    assert.equal(last.code, 0, last.stderr);
    await check();
    const counts = countNames(await readMetrics(database, dataDir));
    for (const {
      load: { ledger },
      prefix,
    } of loads)
      ledger.check(counts, `${prefix}.`);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 0, text);
    assert.match(text, /archive: [1-9]\d* files/);
  });
});
