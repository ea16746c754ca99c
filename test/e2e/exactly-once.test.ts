/** Clients that repeat each request up to five times with a key, through `kill -9`: every metric is stored once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { bodyOf, metric } from '../support/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { Scrape } from '../support/exposition.ts';
import { KeyedClient } from '../support/keyed-client.ts';
import {
  type ServerProcess,
  startServer,
  temporaryDirectory,
  verify,
  WITH_WAL,
} from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

/** METRICSSTREAM_KILLS=100 for the long form. */
const KILLS = Number(process.env.METRICSSTREAM_KILLS ?? 2);
const CLIENTS = 6;
const TRIES = 5;
const BATCH_MAX = 4;
/** Requests answered between two kills. */
const REQUESTS_PER_KILL = 120;
/** One first response in so many is lost on its way. */
const LOST_EVERY = 7;

/** One server after the other on a data directory, and clients that outlive them. */
class Killing {
  answered = 0;
  /** Names of all metrics sent. */
  readonly sent = new Set<string>();
  readonly unanswered: string[] = [];
  private running!: Promise<ServerProcess>;
  private stopping = false;
  private readonly clients: KeyedClient[];
  private readonly start: () => Promise<ServerProcess>;

  constructor(owner: Owner, args: readonly string[], env: Readonly<Record<string, string>>) {
    const dataDir = temporaryDirectory(owner);
    const options = { dataDir, env, args: ['--workers', '2', '--segment-bytes', '64k', ...args] };
    this.start = () => startServer(owner, options);
    this.running = this.start();
    const port = async () => (await this.running).port;
    this.clients = Array.from(
      { length: CLIENTS },
      () => new KeyedClient({ port, tries: TRIES, pauseMs: 20 }),
    );
  }

  server(): Promise<ServerProcess> {
    return this.running;
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

  async killAll(): Promise<void> {
    for (let kill = 0; kill < KILLS; kill++) {
      const enough = this.answered + REQUESTS_PER_KILL;
      await eventually('requests are answered', () => this.answered >= enough);
      const server = await this.running;
      // Clients wait for the next server as soon as this one is gone.
      this.running = server.exited.then(this.start);
      server.kill('SIGKILL');
      await this.running;
    }
    const enough = this.answered + REQUESTS_PER_KILL;
    await eventually('requests are answered', () => this.answered >= enough);
    this.stopping = true;
  }

  get repeats(): number {
    return this.clients.reduce((sum, client) => sum + client.repeats, 0);
  }

  get replays(): number {
    return this.clients.reduce((sum, client) => sum + client.replays, 0);
  }
}

for (const [name, args, env] of [
  ['with the write-ahead log', [], WITH_WAL],
  ['with group commits', ['--phase', '7.1'], {}],
  ['with synchronous commits', ['--phase', '6', '--revert', 'writer'], {}],
] as const) {
  describe(`retries with a key, ${name}`, () => {
    it(`store every metric once through ${KILLS} times kill -9`, async (t) => {
      const killing = new Killing(t, args, env);
      await Promise.all([killing.load(), killing.killAll()]);
      const server = await killing.server();
      const restored = (await Scrape.of(server.port)).sum('metricsstream_idempotency_restored_keys');
      assert.equal((await server.stop()).code, 0);
      const { sent, answered, repeats, replays } = killing;
      t.diagnostic(`${answered} requests, ${repeats} repeats, ${replays} replays, ${restored} keys restored`);
      assert.deepEqual(killing.unanswered, []);
      assert.ok(replays > 0 && restored > 0);
      const stored = countNames(readStored(server.dataDir));
      const missing = [...sent].filter((metricName) => !stored.has(metricName));
      const twice = [...stored].filter(([, count]) => count > 1).map(([metricName]) => metricName);
      assert.deepEqual({ missing, twice }, { missing: [], twice: [] });
      assert.equal((await verify(server.dataDir)).code, 0);
    });
  });
}
