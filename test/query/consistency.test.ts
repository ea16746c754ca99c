/** Every acknowledged metric counts once, whatever the server does while a query looks. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { asker } from '../support/query-rows.ts';
import { startCli, startServer, temporaryDirectory, WITH_WAL } from '../support/server-process.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const WITHOUT_WAL = { METRICSSTREAM_WAL: 'off' };
/** Small segments, so that they rotate during each query. */
const ARGS = ['--segment-bytes', '64k', '--rate-limit', '0', '--workers', '2'];
const ROUNDS =
  process.env.METRICSSTREAM_QUERY_ROUNDS === undefined ? 2 : Number(process.env.METRICSSTREAM_QUERY_ROUNDS);
const QUERIES = 2;

/** A process that runs beside the server. */
interface Beside {
  /** Waits until it has done something. */
  check(): Promise<void> | void;
  kill(): void;
}

const ARCHIVE = ['archive', '--interval', '100ms', '--delete-segments', '--priority', 'normal'];

/** Moves segments to the archive, and is killed as the server is. */
function archiver(t: TestContext, dataDir: string): Beside {
  const files = (): string[] => {
    const directory = join(dataDir, 'archive');
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.parquet'),
    );
  };
  const before = new Set(files());
  const process = startCli(t, [...ARCHIVE, '--data-dir', dataDir]);
  return {
    check: () => eventually('a new archive file', () => files().some((name) => !before.has(name))),
    kill: () => process.kill('SIGKILL'),
  };
}

/** Loads a server, kills it while queries run, and starts it again on the same directory. */
async function checkRounds(
  t: TestContext,
  env: Readonly<Record<string, string>>,
  beside: (dataDir: string) => Beside = () => ({ check: () => {}, kill: () => {} }),
): Promise<void> {
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
    const other = beside(dataDir);
    for (let query = 0; query < QUERIES; query++) {
      const wanted = load.ledger.acknowledged + 500;
      await eventually('more metrics', () => load.ledger.acknowledged >= wanted);
      await check();
    }
    await other.check();
    other.kill();
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
  it('while an archiver moves and deletes segments, and is killed too', (t) =>
    checkRounds(t, WITH_WAL, (dataDir) => archiver(t, dataDir)));
});
