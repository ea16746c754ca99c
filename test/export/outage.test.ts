/**
 * The database stops under load. POST must not notice, the lag rises and falls, retention waits, and nothing is lost.
 *
 * METRICSSTREAM_OUTAGE_SECONDS makes the outage long, and then compares latency and memory with those before:
 * `npm run test:sinks` has 60.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { logIdOf } from '../../src/export/log-id.ts';
import { initTables } from '../../src/export/postgres/init.ts';
import { compareWithPostgres } from '../../src/export/postgres/verify.ts';
import { eventually } from '../support/assertions.ts';
import { POSTGRES_DEFAULTS, requirePostgres, startPostgres } from '../support/postgres.ts';
import { fetchOnce } from '../support/raw-http.ts';
import { residentBytes, runCli, startCli, startServer } from '../support/server-process.ts';

const OUTAGE_SECONDS = Number(process.env.METRICSSTREAM_OUTAGE_SECONDS ?? 1);
const isLong = process.env.METRICSSTREAM_OUTAGE_SECONDS !== undefined;
const LATENCY_FACTOR_MAX = 1.2;
const GROWTH_BYTES_MAX = 64 << 20;
const RATE = 200;
const MORE_LOADS = 20;

/** The value of a metric of the server, or 0 before it is exposed. */
async function reading(port: number, name: string): Promise<number> {
  const text = (await fetchOnce(port, { path: '/metrics' })).body.toString();
  return Number(new RegExp(`^metricsstream_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}

describe('a database that stops under load', { skip: requirePostgres() }, () => {
  it(`for ${OUTAGE_SECONDS} s: POST does not notice, and the tables end equal to the log`, async (test) => {
    const postgres = await startPostgres(test);
    const url = new URL(postgres.url);
    await initTables(url, POSTGRES_DEFAULTS);
    const { port, pid, dataDir, stop } = await startServer(test, {
      args: [
        ...['--workers', '1', '--segment-bytes', '64k', '--rate-limit', '0'],
        ...['--required-sinks', 'postgres', '--retention-bytes', '128k'],
      ],
    });
    const exportArgs = ['export', '--to', postgres.url, '--data-dir', dataDir];
    const exporter = startCli(test, exportArgs);
    const load = async (seconds: number) => {
      const args = [
        '--rate',
        String(RATE),
        '--batch',
        '5',
        '--duration',
        `${seconds}s`,
        '--json',
        '--clients',
        '4',
      ];
      const { stdout, stderr, code } = await runCli(['load', String(port), ...args], {
        timeoutMs: seconds * 2_000 + 180_000,
      });
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as { apiLatency: { p99Ms: number } };
    };
    await load(1);
    await eventually('the database catches up', async () => (await reading(port, 'sink_lag_bytes')) === 0);
    const before = isLong ? await load(OUTAGE_SECONDS) : null;
    const residentBefore = residentBytes(pid);
    await postgres.stop('SIGQUIT');
    const during = load(OUTAGE_SECONDS);
    await eventually('the lag rises', async () => (await reading(port, 'sink_lag_bytes')) > 0);
    const disturbed = await during;
    // A slow disk takes less than retention keeps anyway.
    for (let more = 0; more < MORE_LOADS && (await reading(port, 'retention_held_segments')) === 0; more++)
      await load(1);
    await eventually('retention waits', async () => (await reading(port, 'retention_held_segments')) > 0);
    const lagBytes = await reading(port, 'sink_lag_bytes');
    await postgres.start();
    await eventually('the lag falls', async () => (await reading(port, 'sink_lag_bytes')) === 0);
    await eventually('retention goes on', async () => (await reading(port, 'retention_held_segments')) === 0);
    const grown = residentBytes(pid) - residentBefore;
    test.diagnostic(
      JSON.stringify({
        before: before?.apiLatency.p99Ms,
        during: disturbed.apiLatency.p99Ms,
        lagBytes,
        grown,
      }),
    );
    if (before !== null) {
      const [calm, worst] = [before.apiLatency.p99Ms, disturbed.apiLatency.p99Ms];
      assert.ok(worst <= LATENCY_FACTOR_MAX * calm, `p99 ${worst} ms during the outage, ${calm} ms before`);
      assert.ok(grown < GROWTH_BYTES_MAX, `grew by ${grown} bytes`);
    }
    const stored = await reading(port, 'stored_metrics_total');
    await stop();
    exporter.kill('SIGTERM');
    assert.deepEqual(await exporter.exited, { code: 0, signal: null }, exporter.lines.join('\n'));
    const [row] = await postgres.query<{ count: string }>('SELECT count(*) FROM ms_metrics');
    assert.equal(Number(row?.count), stored);
    const options = { dataDir, log: logIdOf(dataDir), postgres: POSTGRES_DEFAULTS, onProgress() {} };
    assert.deepEqual((await compareWithPostgres(url, options)).problems, []);
  });
});
