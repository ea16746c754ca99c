/**
 * `kill -9` of everything between a POST and a row, at random moments under load with rotation: the exporter, the server,
 * the database's backends, the whole database, and pairs of them. Rows must equal acknowledged metrics, none twice.
 *
 * METRICSSTREAM_KILLS sets the number of kills: `npm run test:sinks` has 100.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { logIdOf } from '../../src/export/log-id.ts';
import { initTables } from '../../src/export/postgres/init.ts';
import { compareWithPostgres } from '../../src/export/postgres/verify.ts';
import { eventually } from '../support/assertions.ts';
import type { Owner } from '../support/clean-up.ts';
import { POSTGRES_DEFAULTS, type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';
import {
  type CliProcess,
  runCli,
  type ServerProcess,
  startCli,
  startServer,
  temporaryDirectory,
  WITH_WAL,
} from '../support/server-process.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const KILLS = Number(process.env.METRICSSTREAM_KILLS ?? 10);
const SERVE = ['--segment-bytes', '64k', '--rate-limit', '0', '--workers', '1'];

type Victim = 'exporter' | 'server' | 'backends' | 'database';
const TURNS: readonly (readonly Victim[])[] = [
  ['exporter'],
  ['backends'],
  ['server'],
  ['database'],
  ['exporter', 'server'],
  ['exporter', 'database'],
  ['server', 'database'],
  ['backends', 'exporter'],
];

class Chain {
  readonly dataDir: string;
  readonly postgres: Postgres;
  server!: ServerProcess;
  private exporter!: CliProcess;
  private readonly owner: Owner;

  private constructor(owner: Owner, postgres: Postgres) {
    this.owner = owner;
    this.postgres = postgres;
    this.dataDir = temporaryDirectory(owner);
  }

  static async start(owner: Owner): Promise<Chain> {
    const chain = new Chain(owner, await startPostgres(owner));
    await initTables(new URL(chain.postgres.url), POSTGRES_DEFAULTS);
    await chain.startServer();
    chain.startExporter();
    return chain;
  }

  get exportArgs(): string[] {
    return [
      'export',
      '--to',
      this.postgres.url,
      '--data-dir',
      this.dataDir,
      '--range-age',
      '20ms',
      '--range-bytes',
      '64k',
    ];
  }

  private async startServer(): Promise<void> {
    this.server = await startServer(this.owner, { dataDir: this.dataDir, args: SERVE, env: WITH_WAL });
  }

  private startExporter(): void {
    this.exporter = startCli(this.owner, this.exportArgs);
  }

  async kill(victims: readonly Victim[]): Promise<void> {
    for (const victim of victims) await this.killOne(victim);
  }

  private async killOne(victim: Victim): Promise<void> {
    if (victim === 'exporter') this.exporter.kill('SIGKILL');
    else if (victim === 'server') this.server.kill('SIGKILL');
    else if (victim === 'database') await this.postgres.stop('SIGQUIT');
    else {
      const ended = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'metricsstream export'`;
      await this.postgres.query(ended);
    }
  }

  async restart(victims: readonly Victim[]): Promise<void> {
    if (victims.includes('database')) await this.postgres.start();
    if (victims.includes('server')) {
      await this.server.exited;
      await this.startServer();
    }
    if (victims.includes('exporter')) {
      await this.exporter.exited;
      this.startExporter();
    }
  }

  async cursor(): Promise<number> {
    const [row] = await this.postgres.query<{ commit: string }>('SELECT commit FROM ms_cursor');
    return Number(row?.commit ?? 0);
  }

  /** Ends server and exporter, and ships the rest. */
  async drain(): Promise<void> {
    await this.server.stop();
    this.exporter.kill('SIGTERM');
    assert.deepEqual(await this.exporter.exited, { code: 0, signal: null }, this.exporter.lines.join('\n'));
    const { code, stdout, stderr } = await runCli([...this.exportArgs, '--once']);
    assert.equal(code, 0, stdout + stderr);
  }

  /** How often each name is in the database. */
  async stored(): Promise<Map<string, number>> {
    const rows = await this.postgres.query<{ name: string; count: string }>(
      'SELECT name, count(*) FROM ms_metrics GROUP BY name',
    );
    return new Map(rows.map(({ name, count }) => [name, Number(count)]));
  }
}

function summaryOf(recoveries: ReadonlyMap<string, readonly number[]>): string {
  return [...recoveries]
    .map(([victims, times]) => {
      const sorted = [...times].sort((a, b) => a - b);
      const median = sorted[sorted.length >> 1]!;
      return `${victims}: ${times.length} kills, shipping again after ${median.toFixed(0)} ms (median), ${sorted.at(-1)!.toFixed(0)} ms (worst)`;
    })
    .join('\n');
}

describe('kill -9 between a POST and a row', { skip: requirePostgres() }, () => {
  it(`${KILLS} times: rows equal acknowledged metrics, none twice`, async (test) => {
    const chain = await Chain.start(test);
    const loads: { prefix: string; load: TrackedLoad }[] = [];
    const recoveries = new Map<string, number[]>();
    for (let kill = 0; kill < KILLS; kill++) {
      const prefix = `k${kill}`;
      const load = new TrackedLoad(chain.server.port, {
        prefix,
        connections: 4,
        batchMax: 8,
        pauseMs: 1,
        withBroken: true,
      });
      loads.push({ prefix, load });
      const before = await chain.cursor();
      await eventually(
        'metrics of this round arrive in the database',
        async () => (await chain.cursor()) > before + 2,
      );
      await delay(Math.random() * 150);
      const victims = TURNS[kill % TURNS.length]!;
      const struckMs = performance.now();
      await chain.kill(victims);
      if (victims.includes('server')) await load.done;
      await chain.restart(victims);
      const held = await chain.cursor();
      const more = new TrackedLoad(chain.server.port, {
        prefix: `m${kill}`,
        connections: 1,
        batchMax: 2,
        pauseMs: 2,
      });
      await eventually('the chain ships again', async () => (await chain.cursor()) > held);
      const key = victims.join(' and ');
      recoveries.set(key, [...(recoveries.get(key) ?? []), performance.now() - struckMs]);
      await Promise.all([load.stop(), more.stop()]);
      loads.push({ prefix: `m${kill}`, load: more });
    }
    await chain.drain();
    const stored = await chain.stored();
    let acknowledged = 0;
    for (const { prefix, load } of loads) {
      load.ledger.check(stored, `${prefix}.`);
      acknowledged += load.ledger.count('acknowledged');
    }
    const url = new URL(chain.postgres.url);
    const { dataDir } = chain;
    const options = { dataDir, log: logIdOf(dataDir), postgres: POSTGRES_DEFAULTS, onProgress() {} };
    const { problems, metrics } = await compareWithPostgres(url, options);
    assert.deepEqual(problems, []);
    test.diagnostic(`${acknowledged} metrics acknowledged, ${metrics} in the database`);
    test.diagnostic(summaryOf(recoveries));
    assert.ok(acknowledged > KILLS * 20, `${acknowledged} metrics are too few to prove anything`);
  });
});
