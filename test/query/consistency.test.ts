/** Every acknowledged metric counts once, whatever the server does while a query looks. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { asker } from '../support/query-rows.ts';
import { startServer, temporaryDirectory, WITH_WAL } from '../support/server-process.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const WITHOUT_WAL = { METRICSSTREAM_WAL: 'off' };
/** Small segments, so that they rotate during each query. */
const ARGS = ['--segment-bytes', '64k', '--rate-limit', '0', '--workers', '2'];
const ROUNDS =
  process.env.METRICSSTREAM_QUERY_ROUNDS === undefined ? 2 : Number(process.env.METRICSSTREAM_QUERY_ROUNDS);
const QUERIES = 2;

/** Loads a server, kills it while queries run, and starts it again on the same directory. */
async function checkRounds(t: TestContext, env: Readonly<Record<string, string>>): Promise<void> {
  const dataDir = temporaryDirectory(t);
  const ask = asker(t, dataDir);
  const loads: { prefix: string; load: TrackedLoad }[] = [];
  /** Checks all loads; metrics that were acknowledged before the query must be there. */
  const check = async (): Promise<void> => {
    const before = loads.map(({ prefix, load }) => ({ prefix, fates: new Map(load.ledger.fates) }));
    const { rows, leftOut } = await ask('SELECT name, count(*) FROM metrics GROUP BY name');
    const counts = new Map(rows.map(([name, count]) => [String(name), Number(count)]));
    for (const { prefix, fates } of before) {
      const lost = [...fates].filter(([name, fate]) => fate === 'acknowledged' && !counts.has(name));
      assert.deepEqual(lost.slice(0, 3), [], `${lost.length} of ${prefix} are lost`);
    }
    const twice = [...counts].filter(([, count]) => count !== 1);
    assert.deepEqual(twice.slice(0, 3), [], `${twice.length} count more than once`);
    assert.deepEqual(leftOut, { damagedPlaces: 0, damagedBytes: 0, damagedRecords: 0, missing: [] });
  };
  for (let round = 0; round < ROUNDS; round++) {
    const server = await startServer(t, { dataDir, args: ARGS, env });
    const prefix = `round${round}`;
    const load = new TrackedLoad(server.port, { prefix, connections: 4, batchMax: 40, pauseMs: 1 });
    loads.push({ prefix, load });
    for (let query = 0; query < QUERIES; query++) {
      const wanted = load.ledger.acknowledged + 500;
      await eventually('more metrics', () => load.ledger.acknowledged >= wanted);
      await check();
    }
    // During a query, or in the middle of writing.
    const during = round % 2 === 0 ? Promise.resolve() : check();
    server.kill('SIGKILL');
    await Promise.all([during, server.exited]);
    await load.done;
    // Nobody copies the rest of the write-ahead log now.
    await check();
  }
}

describe('query counts each acknowledged metric once', () => {
  it('with the write-ahead log, while segments rotate and the server is killed', (t) =>
    checkRounds(t, WITH_WAL));
  it('without it', (t) => checkRounds(t, WITHOUT_WAL));
});
