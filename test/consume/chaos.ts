/**
 * Kills parts of the way from POST to SQL row at random points under load: exporter, consumer, server, a database backend,
 * the whole database, the leader of three NATS servers, and pairs of these. In the end the tables must hold every
 * acknowledged metric once, and nothing that was refused.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../load-test/free-port.ts';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody } from '../support/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { type NatsCluster, startNatsCluster, withJetStream } from '../support/nats-server.ts';
import { init, untilSame } from '../support/pipeline.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { post } from '../support/raw-http.ts';
import {
  type CliProcess,
  type ServerProcess,
  startCli,
  startServer,
  temporaryDirectory,
} from '../support/server-process.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const STREAM = 'METRICSSTREAM';
const DURABLE = 'metricsstream';
/** Elections, pauses between tries, and a disk that stalls meanwhile. */
const RECOVERED_WITHIN_MS = 180_000;
/** Of each part, when a round fails. */
const DESCRIBED_LINES = 40;
/** The longest random time between the start of a round and its kills. */
const ROUND_MS = 400;
const LOAD = { connections: 2, batchMax: 8, withBroken: true, pauseMs: 5, refusalPauseMs: 50 } as const;

const VICTIMS = ['exporter', 'consumer', 'server', 'backend', 'database', 'leader'] as const;
type Victim = (typeof VICTIMS)[number];

export interface Round {
  readonly victims: readonly Victim[];
  /** From the kills until a metric posted after them is a row. */
  readonly recoveryMs: number;
}

export interface ChaosResult {
  readonly rounds: readonly Round[];
  readonly acknowledged: number;
  /** Metrics whose answer the kill of the server took away, and which are stored. */
  readonly unknownStored: number;
  /** From the last acknowledgement of a message until log and tables were the same. */
  readonly settledMs: number;
}

/** A generator of numbers from 0 to 1 that repeats itself for a seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Chaos {
  private readonly owner: Owner;
  private readonly dataDir: string;
  private readonly loads: { readonly load: TrackedLoad; readonly prefix: string }[] = [];
  private cluster!: NatsCluster;
  private postgres!: Postgres;
  private server!: ServerProcess;
  private exporter!: CliProcess;
  private consumer!: CliProcess;
  private port = 0;

  constructor(owner: Owner) {
    this.owner = owner;
    this.dataDir = temporaryDirectory(owner);
  }

  async start(): Promise<void> {
    const { owner } = this;
    [this.cluster, this.postgres, this.port] = await Promise.all([
      startNatsCluster(owner),
      startPostgres(owner),
      freePort(),
    ]);
    await Promise.all([init(this.cluster.url), init(this.postgres.url)]);
    await this.startServer();
    this.startExporter();
    this.startConsumer();
  }

  private async startServer(): Promise<void> {
    const args = ['--port', String(this.port), '--workers', '1', '--segment-bytes', '65536'];
    this.server = await startServer(this.owner, { dataDir: this.dataDir, args });
    const prefix = `life${this.loads.length}`;
    this.loads.push({ load: new TrackedLoad(this.port, { ...LOAD, prefix }), prefix });
  }

  private startExporter(): void {
    const args = ['export', '--to', this.cluster.url, '--data-dir', this.dataDir, '--range-age', '20ms'];
    this.exporter = startCli(this.owner, args);
  }

  private startConsumer(): void {
    const args = [
      'consume',
      '--from',
      this.cluster.url,
      '--to',
      this.postgres.url,
      '--workers',
      '2',
      '--ack-wait',
      '3s',
    ];
    this.consumer = startCli(this.owner, args);
  }

  private async killAndRestart(victim: Victim): Promise<void> {
    switch (victim) {
      case 'exporter':
        this.exporter.kill('SIGKILL');
        await this.exporter.exited;
        return this.startExporter();
      case 'consumer':
        this.consumer.kill('SIGKILL');
        await this.consumer.exited;
        return this.startConsumer();
      case 'server':
        this.server.kill('SIGKILL');
        await this.server.exited;
        await this.loads.at(-1)!.load.done;
        return this.startServer();
      case 'backend':
        return this.killBackend();
      case 'database':
        return this.postgres.restart();
      case 'leader': {
        const leader = await this.cluster.leader(STREAM);
        await leader.kill();
        await leader.start();
      }
    }
  }

  /** PostgreSQL ends all its backends when one is killed, and recovers. */
  private async killBackend(): Promise<void> {
    await eventually('the database accepts connections', async () => {
      try {
        await this.postgres.query('SELECT 1');
        return true;
      } catch {
        return false;
      }
    });
    const rows = await this.postgres
      .query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'metricsstream%' ORDER BY random() LIMIT 1`,
      )
      // Another kill ends the database at this moment.
      .catch(() => []);
    for (const { pid } of rows) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  async round(number: number, victims: readonly Victim[], waitMs: number): Promise<Round> {
    await delay(waitMs);
    const startMs = performance.now();
    await Promise.all(victims.map((victim) => this.killAndRestart(victim)));
    const marker = `marker.${number}`;
    assertAccepted(await post(this.port, namesBody(marker)), 1);
    await eventually(
      `the metric after the kill of ${victims.join(' and ')} is a row`,
      () => this.holds(marker),
      RECOVERED_WITHIN_MS,
    );
    return { victims, recoveryMs: performance.now() - startMs };
  }

  private async holds(name: string): Promise<boolean> {
    try {
      const rows = await this.postgres.query('SELECT 1 FROM ms_metrics WHERE name = $1', [name]);
      return rows.length > 0;
    } catch {
      return false;
    }
  }

  /** The last lines of each part, for a failure that nobody can repeat at will. */
  async describe(): Promise<string> {
    const { exporter, consumer, cluster } = this;
    const queue = await withJetStream(cluster.url, async (jsm) => {
      const infos = [jsm.streams.info(STREAM), jsm.consumers.info(STREAM, DURABLE)];
      return (await Promise.allSettled<unknown>(infos)).map((info) =>
        info.status === 'fulfilled' ? JSON.stringify(info.value) : String(info.reason),
      );
    }).catch((error: Error) => [`no connection: ${error.message}`]);
    const parts: readonly (readonly [string, readonly string[]])[] = [
      ['the exporter', exporter.lines],
      ['the consumer', consumer.lines],
      ['stream and durable consumer', queue],
      ...cluster.servers.map((server) => [server.name, server.output().split('\n')] as const),
    ];
    return parts
      .map(([name, lines]) => [`${name}:`, ...lines.slice(-DESCRIBED_LINES)].join('\n  '))
      .join('\n');
  }

  /** Compares answers, log and tables. */
  async finish(rounds: readonly Round[]): Promise<ChaosResult> {
    await this.loads.at(-1)!.load.stop();
    const last = 'marker.last';
    assertAccepted(await post(this.port, namesBody(last)), 1);
    await this.server.stop();
    await eventually('the last metric is a row', () => this.holds(last), RECOVERED_WITHIN_MS);
    // Messages that a killed consumer held come again when their time for acknowledgement is over.
    await withJetStream(this.cluster.url, (jsm) =>
      eventually('every message is acknowledged', async () => {
        try {
          const { num_pending, num_ack_pending } = await jsm.consumers.info(STREAM, DURABLE);
          return num_pending + num_ack_pending === 0;
        } catch {
          // It elects a leader.
          return false;
        }
      }),
    );
    const acknowledgedMs = performance.now();
    await untilSame(this.postgres, this.dataDir, RECOVERED_WITHIN_MS);
    const settledMs = performance.now() - acknowledgedMs;
    for (const process of [this.exporter, this.consumer]) {
      process.kill('SIGTERM');
      assert.deepEqual(await process.exited, { code: 0, signal: null });
    }
    const rows = await this.postgres.query<{ name: string; count: string }>(
      'SELECT name, count(*) FROM ms_metrics GROUP BY name',
    );
    const stored = new Map(rows.map(({ name, count }) => [name, Number(count)]));
    let [acknowledged, unknownStored] = [0, 0];
    for (const { load, prefix } of this.loads) {
      unknownStored += load.ledger.check(stored, `${prefix}.`).unknownStored;
      acknowledged += load.ledger.acknowledged;
    }
    return { rounds, acknowledged, unknownStored, settledMs };
  }
}

/** Every victim alone and in pairs, each as often as the number of rounds allows. */
export async function runChaos(
  owner: Owner,
  rounds: number,
  seed: number,
  onRound: (round: Round) => void = () => {},
): Promise<ChaosResult> {
  const chaos = new Chaos(owner);
  await chaos.start();
  try {
    return await killAndCheck(chaos, rounds, randomOf(seed), onRound);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${await chaos.describe()}`, { cause: error });
  }
}

async function killAndCheck(
  chaos: Chaos,
  rounds: number,
  random: () => number,
  onRound: (round: Round) => void,
): Promise<ChaosResult> {
  const done: Round[] = [];
  for (let number = 0; number < rounds; number++) {
    const first = VICTIMS[number % VICTIMS.length]!;
    const others = VICTIMS.filter((victim) => victim !== first);
    const second = others[Math.floor(random() * others.length)]!;
    const victims = number < VICTIMS.length ? [first] : [first, second];
    const round = await chaos.round(number, victims, random() * ROUND_MS);
    done.push(round);
    onRound(round);
  }
  return chaos.finish(done);
}
