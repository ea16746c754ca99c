/**
 * Stops the database, or NATS, under a constant load: the latency of POST beside undisturbed times, the lag of both ways to the
 * database, the memory of every process, and what is lost or doubled in the end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { cpuSeconds } from '../../bench/under-test/usage.ts';
import { createPlan, type LoadResult } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import { eventually } from '../support/assertions.ts';
import type { Owner } from '../support/clean-up.ts';
import { type NatsServer, startNats } from '../support/nats-server.ts';
import { assertSame, init, initArgs, rowCount } from '../support/pipeline.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { fetchOnce } from '../support/raw-http.ts';
import {
  type CliProcess,
  residentBytes,
  runCli,
  type ServerProcess,
  startCli,
  startServer,
  temporaryDirectory,
  WITH_WAL,
} from '../support/server-process.ts';

export type Stopped = 'database' | 'NATS';

export interface OutageOptions {
  readonly stopped: Stopped;
  readonly seconds: number;
  /** Undisturbed load of the same length before the outage, and after it. */
  readonly withBaseline: boolean;
  readonly requestsPerSecond: number;
}

const BATCH = 20;
const CLIENTS = 16;
const SAMPLE_MS = 1_000;
const CATCH_UP_MS = 300_000;

export const PROCESSES = ['server', 'export to PostgreSQL', 'export to NATS', 'consume'] as const;

/** One second of a run. */
interface Sample {
  /** Since the outage began; negative before. */
  readonly atSeconds: number;
  /** Bytes of the log that each sink lacks. */
  readonly lagBytes: { readonly postgres: number; readonly nats: number };
  /** Messages in the stream that the database does not hold. */
  readonly waitingMessages: number;
  /** By process, as `PROCESSES`. */
  readonly residentBytes: readonly number[];
  /** CPU time since the start, by process. */
  readonly cpuSeconds: readonly number[];
}

export interface OutageResult {
  readonly options: OutageOptions;
  /** p50 and p99 of POST. */
  readonly before: LoadResult | null;
  readonly during: LoadResult;
  readonly after: LoadResult | null;
  readonly samples: readonly Sample[];
  /** From the return of what was stopped until nothing lags. */
  readonly caughtUpSeconds: number;
  readonly accepted: number;
  /** Accepted metrics without a row, and rows beyond them, in the table of `export` and in that of `consume`. */
  readonly lost: number;
  readonly doubled: number;
}

class Rig {
  readonly samples: Sample[] = [];
  outageMs = Number.POSITIVE_INFINITY;
  private readonly owner: Owner;
  private postgres!: Postgres;
  private consumed!: { readonly url: string };
  private nats!: NatsServer;
  private server!: ServerProcess;
  private processes!: readonly CliProcess[];
  private consumePort = 0;

  constructor(owner: Owner) {
    this.owner = owner;
  }

  async start(): Promise<void> {
    const { owner } = this;
    const [postgres, nats, server] = await Promise.all([
      startPostgres(owner),
      startNats(owner, { storeDir: temporaryDirectory(owner, 'metricsstream-nats-') }),
      startServer(owner, { args: ['--workers', '1', '--rate-limit', '0'], env: WITH_WAL }),
    ]);
    Object.assign(this, { postgres, nats, server });
    this.consumed = { url: await postgres.createDatabase('consumed') };
    // Each metric of the load generator is a series of its own.
    const flat = [postgres, this.consumed].map(({ url }) => runCli([...initArgs(url), '--layout', 'flat']));
    await Promise.all([...flat, init(nats.url)]);
    const { dataDir } = server;
    this.processes = [
      ['export', '--to', postgres.url, '--data-dir', dataDir],
      ['export', '--to', nats.url, '--data-dir', dataDir],
      ['consume', '--from', nats.url, '--to', this.consumed.url, '--workers', '2', '--metrics-port', '0'],
    ].map((args) => startCli(owner, args));
    const consume = this.processes[2]!;
    await consume.until((lines) => lines.some((line) => line.includes('serving metrics')));
    const line = consume.lines.find((one) => one.includes('serving metrics'))!;
    this.consumePort = (JSON.parse(line) as { port: number }).port;
    const timer = setInterval(() => void this.sample().catch(() => {}), SAMPLE_MS);
    owner.after(() => clearInterval(timer));
  }

  load(seconds: number, requestsPerSecond: number): Promise<LoadResult> {
    const plan = createPlan({
      ...{ port: this.server.port, clients: CLIENTS, batch: BATCH, timeoutMs: 30_000 },
      load: { kind: 'open', ratePerSecond: requestsPerSecond, durationMs: seconds * 1e3 },
    });
    return runLoad(plan);
  }

  async stop(stopped: Stopped): Promise<void> {
    this.outageMs = performance.now();
    if (stopped === 'database') await this.postgres.stop();
    else await this.nats.kill();
  }

  async restore(stopped: Stopped): Promise<void> {
    if (stopped === 'database') await this.postgres.start();
    else await this.nats.start();
  }

  async sample(): Promise<Sample> {
    const [own, consume] = await Promise.all(
      [this.server.port, this.consumePort].map(async (port) =>
        (await fetchOnce(port, { path: '/metrics' })).body.toString(),
      ),
    );
    const read = (text: string, pattern: string): number =>
      Number(new RegExp(`^metricsstream_${pattern} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
    const lag = (sink: string): number => read(own!, `sink_lag_bytes\\{.*sink="${sink}".*\\}`);
    const pids = [this.server.pid, ...this.processes.map(({ pid }) => pid)];
    const sample: Sample = {
      atSeconds: (performance.now() - this.outageMs) / 1e3,
      lagBytes: { postgres: lag('postgres'), nats: lag('nats') },
      waitingMessages:
        read(consume!, 'consume_pending_messages') + read(consume!, 'consume_unacknowledged_messages'),
      residentBytes: pids.map(residentBytes),
      cpuSeconds: pids.map(cpuSeconds),
    };
    this.samples.push(sample);
    return sample;
  }

  /** Until a sample shows what was not shipped, which exporters report once a second. */
  async lagging(stopped: Stopped): Promise<void> {
    const sink = stopped === 'database' ? 'postgres' : 'nats';
    await eventually('the lag rises', async () => (await this.sample()).lagBytes[sink] > 0);
  }

  /** Until all rows are there. Rows count, since exporters report once a second. */
  async drained(accepted: number): Promise<void> {
    const counts = async (): Promise<number> => Math.min(...(await this.rows()));
    await eventually(
      'everything accepted has its rows',
      async () => {
        // Counting rows must not slow their arrival.
        await delay(SAMPLE_MS / 4);
        const { lagBytes, waitingMessages } = await this.sample();
        return lagBytes.postgres + lagBytes.nats + waitingMessages === 0 && (await counts()) >= accepted;
      },
      CATCH_UP_MS,
    );
  }

  async rows(): Promise<number[]> {
    const [row] = await this.postgres.queryOn<{ count: string }>(
      this.consumed.url,
      'SELECT count(*) FROM ms_metrics',
    );
    return [await rowCount(this.postgres), Number(row!.count)];
  }

  /** @throws unless log and tables are equal, commit by commit */
  async verify(): Promise<void> {
    await this.server.stop();
    for (const { kill } of this.processes) kill('SIGTERM');
    await Promise.all(this.processes.map(({ exited }) => exited));
    for (const sink of [this.postgres, this.consumed]) await assertSame(sink, this.server.dataDir);
  }
}

export async function runOutage(owner: Owner, options: OutageOptions): Promise<OutageResult> {
  const { stopped, seconds, withBaseline, requestsPerSecond } = options;
  const rig = new Rig(owner);
  await rig.start();
  const load = (length: number): Promise<LoadResult> => rig.load(length, requestsPerSecond);
  const warmUp = await load(Math.min(5, seconds));
  const before = withBaseline ? await load(seconds) : null;
  await rig.stop(stopped);
  const during = await load(seconds);
  await rig.lagging(stopped);
  await rig.restore(stopped);
  const restoredMs = performance.now();
  let accepted = warmUp.acceptedMetrics + (before?.acceptedMetrics ?? 0) + during.acceptedMetrics;
  await rig.drained(accepted);
  const caughtUpSeconds = (performance.now() - restoredMs) / 1e3;
  const after = withBaseline ? await load(seconds) : null;
  accepted += after?.acceptedMetrics ?? 0;
  await rig.drained(accepted);
  const rows = await rig.rows();
  await rig.verify();
  return {
    ...{ options, before, during, after, samples: rig.samples, caughtUpSeconds, accepted },
    lost: rows.reduce((sum, count) => sum + Math.max(0, accepted - count), 0),
    doubled: rows.reduce((sum, count) => sum + Math.max(0, count - accepted), 0),
  };
}
