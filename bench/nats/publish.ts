/**
 * The stream alone, without a log to read: how the size of a message, the storage, the replicas, and the number of logs that
 * publish side by side set the rate. A log has one message in flight, because each message names the one before it.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { jetstreamManager, StorageType } from '@nats-io/jetstream';
import { parseNatsAddress } from '../../src/nats/address.ts';
import { type NatsLink, openNats } from '../../src/nats/connect.ts';
import { LogWriter } from '../../src/nats/log-writer.ts';
import { initStream } from '../../src/nats/stream.ts';
import { takeTurns } from '../harness/turns.ts';
import { whole } from '../report/numbers.ts';
import { roundsTable, type Table } from '../report/table.ts';
import { type Nats, withNats } from './servers.ts';

const STREAM = 'METRICSSTREAM';
const KIB = 1_024;
const PUBLISHED_BYTES = 128 * KIB * KIB;
const MOST_MESSAGES = 4_000;
const LEADER_MS = 20_000;
const LEADER_PAUSE_MS = 200;
const LINE = `{"timestamp":1700000000000,"name":"cpu.usage","value":42.5,"type":"gauge","tags":{"host":"web-1","region":"eu-central-1"}}\n`;

interface Case {
  readonly servers: number;
  readonly bytes: number;
  readonly storage: StorageType;
  /** That publish side by side, each over a connection of its own. */
  readonly logs: number;
}

const FILE = { servers: 1, storage: StorageType.File, logs: 1 } as const;
const CASES: readonly Case[] = [
  { ...FILE, bytes: KIB },
  { ...FILE, bytes: 16 * KIB },
  { ...FILE, bytes: 128 * KIB },
  { ...FILE, bytes: 512 * KIB },
  { ...FILE, bytes: 512 * KIB, storage: StorageType.Memory },
  { ...FILE, bytes: 512 * KIB, logs: 4 },
  { ...FILE, bytes: 512 * KIB, servers: 3 },
  { ...FILE, bytes: 512 * KIB, servers: 3, logs: 4 },
];

interface Cell {
  readonly perSecond: number;
  readonly clientUs: number;
  readonly serversUs: number;
}

/** The stream as `export --init` makes it, but for its storage. */
async function newStream(link: NatsLink, url: string, { servers, storage }: Case): Promise<void> {
  const jsm = await jetstreamManager(link.connection, { checkAPI: false });
  for (const name of [STREAM, `${STREAM}_QUARANTINE`]) await jsm.streams.delete(name).catch(() => {});
  if (storage === StorageType.File) {
    const settings = { replicas: servers, maxBytes: 4 * KIB ** 3 };
    await initStream(link, parseNatsAddress(url, '--url'), settings);
  } else {
    const subjects = [`${STREAM.toLowerCase()}.*`];
    await jsm.streams.add({ name: STREAM, subjects, storage, discard: 'new', num_replicas: servers });
  }
}

/** A new stream of a cluster has no leader for a moment. */
async function untilLed(link: NatsLink): Promise<void> {
  const deadline = performance.now() + LEADER_MS;
  for (;;) {
    try {
      await LogWriter.open(link, STREAM, randomUUID());
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(LEADER_PAUSE_MS);
    }
  }
}

async function publishAll(link: NatsLink, body: Uint8Array, lines: number, messages: number): Promise<void> {
  const log = randomUUID();
  const writer = await LogWriter.open(link, STREAM, log);
  for (let number = 1; number <= messages; number++)
    await writer.append({
      ...{ log, first: number, last: number, part: 0, parts: 0, lines, firstLine: 0, damage: '' },
      ...{
        commitBytes: [body.length],
        sealCrc32: null,
        readAtMs: 0,
        exporter: 'bench',
        mayRepeat: false,
        body,
      },
    });
}

async function measure({ bytes, logs }: Case, servers: Nats, links: readonly NatsLink[]): Promise<Cell> {
  const lines = Math.max(1, Math.floor(bytes / LINE.length));
  const body = Buffer.from(LINE.repeat(lines));
  const messages = Math.min(MOST_MESSAGES, Math.ceil(PUBLISHED_BYTES / bytes / logs));
  const metrics = messages * lines * logs;
  const [startMs, own, before] = [performance.now(), process.cpuUsage(), servers.us()];
  await Promise.all(links.map((link) => publishAll(link, body, lines, messages)));
  const seconds = (performance.now() - startMs) / 1_000;
  const { user, system } = process.cpuUsage(own);
  const jsm = await jetstreamManager(links[0]!.connection, { checkAPI: false });
  assert.equal((await jsm.streams.info(STREAM)).state.messages, messages * logs, 'all are in the stream');
  return {
    perSecond: metrics / seconds,
    clientUs: (user + system) / metrics,
    serversUs: (servers.us() - before) / metrics,
  };
}

function measureRounds(one: Case, rounds: number, nats: Nats): Promise<Map<Case, Cell[]>> {
  return takeTurns(
    [one],
    rounds,
    async () => {
      const address = parseNatsAddress(nats.url, '--url');
      const links = await Promise.all(Array.from({ length: one.logs }, () => openNats(address, {}, 'bench')));
      try {
        await newStream(links[0]!, nats.url, one);
        await untilLed(links[0]!);
        return await measure(one, nats, links);
      } finally {
        await Promise.all(links.map((link) => link.close()));
      }
    },
    0,
  );
}

export async function publishTable(rounds: number): Promise<Table> {
  const measured = new Map<Case, Cell[]>();
  for (const one of CASES) {
    const own = await withNats(one.servers, (nats) => measureRounds(one, rounds, nats));
    measured.set(one, own.get(one)!);
  }
  return roundsTable(
    measured,
    [
      ['servers', ({ servers }) => String(servers)],
      ['message', ({ bytes }) => `${bytes / KIB} KiB`],
      ['storage', ({ storage }) => storage],
      ['logs', ({ logs }) => String(logs)],
    ],
    [
      ['metrics/s', ({ perSecond }) => perSecond, whole],
      ['client µs/metric', ({ clientUs }) => clientUs],
      ['servers µs/metric', ({ serversUs }) => serversUs],
    ],
  );
}
