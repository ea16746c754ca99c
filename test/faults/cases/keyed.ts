/** Clients that repeat each request up to five times with a key, through `kill -9`: every metric is stored once. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { eventually } from '../../support/assertions.ts';
import { bodyOf, metric } from '../../support/bodies.ts';
import type { Owner } from '../../support/clean-up.ts';
import { Scrape } from '../../support/exposition.ts';
import { KeyedClient } from '../../support/keyed-client.ts';
import { type ServerProcess, startServer, temporaryDirectory, verify } from '../../support/server-process.ts';
import { countNames, readStored, segmentPaths } from '../../support/stored.ts';
import type { FaultCase, FaultTally } from './fault-case.ts';
import { serveArgs, UNLIMITED, type Wal, walArgs } from './fault-run.ts';

const KILLS = { short: 2, long: 30 } as const;
const CLIENTS = 6;
const TRIES = 5;
const BATCH_MAX = 4;
/** Requests answered between two kills. */
const REQUESTS_PER_KILL = { short: 100, long: 500 } as const;
/** One first response in so many is lost on its way. */
const LOST_EVERY = 7;

/** One server after the other on a data directory, and clients that outlive them. */
class KeyedRun {
  answered = 0;
  slowestStartMs = 0;
  /** Names of all metrics sent. */
  private readonly sent = new Set<string>();
  private readonly unanswered: string[] = [];
  private running: Promise<ServerProcess>;
  private stopping = false;
  private readonly clients: KeyedClient[];
  private readonly owner: Owner;
  private readonly dataDir: string;
  private readonly args: readonly string[];

  constructor(owner: Owner, args: readonly string[]) {
    this.owner = owner;
    this.dataDir = temporaryDirectory(owner);
    this.args = args;
    this.running = this.start();
    const port = async () => (await this.running).port;
    this.clients = Array.from(
      { length: CLIENTS },
      () => new KeyedClient({ port, tries: TRIES, pauseMs: 20 }),
    );
  }

  private async start(): Promise<ServerProcess> {
    const startedMs = performance.now();
    const server = await startServer(this.owner, { dataDir: this.dataDir, args: this.args });
    this.slowestStartMs = Math.max(this.slowestStartMs, performance.now() - startedMs);
    return server;
  }

  async load(): Promise<void> {
    await Promise.all(
      this.clients.map(async (client, index) => {
        for (let request = 0; !this.stopping; request++) await this.post(client, `${index}.${request}`);
        client.close();
      }),
    );
  }

  private async post(client: KeyedClient, key: string): Promise<void> {
    const names = Array.from({ length: 1 + (this.sent.size % BATCH_MAX) }, (_, k) => `once.${key}.${k}`);
    for (const name of names) this.sent.add(name);
    const body = bodyOf(names.map((name) => metric(name)));
    const response = await client.send(body, { 'Idempotency-Key': key }, this.sent.size % LOST_EVERY === 0);
    if (response?.status === 200) this.answered++;
    else this.unanswered.push(`${key}: ${response?.status ?? 'none'}`);
  }

  async kill(times: number, requestsPerKill: number): Promise<void> {
    const isAnswering = async () => {
      const enough = this.answered + requestsPerKill;
      await eventually('requests are answered', () => this.answered >= enough);
    };
    for (let kill = 0; kill < times; kill++) {
      await isAnswering();
      const server = await this.running;
      // Clients wait for the next server as soon as this one is gone.
      this.running = server.exited.then(() => this.start());
      server.kill('SIGKILL');
      await this.running;
    }
    await isAnswering();
    this.stopping = true;
  }

  /** @throws when a metric is missing, stored twice, or its request never got its answer */
  async judge(tries: number): Promise<FaultTally> {
    const server = await this.running;
    const restored = (await Scrape.of(server.port)).sum('metricsstream_idempotency_restored_keys');
    assert.equal((await server.stop()).code, 0);
    assert.deepEqual(this.unanswered, []);
    const stored = countNames(readStored(this.dataDir));
    const lost = [...this.sent].filter((name) => !stored.has(name)).length;
    const twice = [...stored].filter(([, count]) => count > 1).map(([name]) => name);
    assert.deepEqual(twice, []);
    assert.equal((await verify(this.dataDir)).code, 0);
    const repeats = this.clients.reduce((sum, client) => sum + client.repeats, 0);
    const replays = this.clients.reduce((sum, client) => sum + client.replays, 0);
    assert.ok(replays > 0 && restored > 0, `${replays} replays, ${restored} keys restored`);
    return {
      ...{
        tries,
        acknowledged: this.sent.size,
        refused: 0,
        unknown: 0,
        lost,
        lossBound: 0,
        refusedButStored: 0,
      },
      segments: segmentPaths(this.dataDir).length,
      recoveryMs: Math.round(this.slowestStartMs),
      note: `${repeats} repeats, ${replays} of them answered again; none stored twice`,
    };
  }
}

function keyedCase(name: string, args: readonly string[], wal?: Wal): FaultCase {
  return {
    name: `kill, keys, ${name}`,
    fault:
      '`kill -9` under clients that repeat each request up to 5 times with a key; 1 response in 7 is lost',
    promise: 'every metric is stored once, and every request gets its response',
    run: async (owner, form) => {
      const run = new KeyedRun(owner, [...args, ...walArgs(wal)]);
      await Promise.all([run.load(), run.kill(KILLS[form], REQUESTS_PER_KILL[form])]);
      return run.judge(KILLS[form]);
    },
  };
}

export const KEYED_CASES: readonly FaultCase[] = [
  keyedCase('phase 7.2, synced, io_uring', serveArgs(7.2, 'synced'), 'io_uring'),
  keyedCase('phase 6, synced', serveArgs(6, 'synced', UNLIMITED)),
  keyedCase(
    'phase 6, written, synchronous writer',
    serveArgs(6, 'written', ['--revert', 'writer', ...UNLIMITED]),
  ),
];
