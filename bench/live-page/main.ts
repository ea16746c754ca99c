/**
 * The cost of the live page: CPU time of the whole process in windows without a stream, with one, with ten
 * streams, and with one while the limiter's table is full, which main then looks through once a second.
 *
 * The windows of the settings take turns, so that what else the machine does falls on all alike. Nothing is sent
 * meanwhile but the streams: idle traffic is where their share is largest.
 *
 * Usage: node dist/bench/live-page/main.js [--seconds 20] [--rounds 3] [--smoke]
 */
import { type ClientRequest, get } from 'node:http';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { options, smokeRun } from '../harness/options.ts';
import { takeTurns } from '../harness/turns.ts';
import { mean } from '../statistics.ts';
import { type Child, serveArgs, startChild, withServer } from '../under-test/process.ts';
import { cpuSeconds, untilIdle } from '../under-test/usage.ts';

const SECONDS = smokeRun ? 4 : Number(options.seconds ?? 20);
/** The server sends one a second, and later on a busy machine. */
const LEAST_MESSAGES = smokeRun ? 1 : SECONDS / 2;
const ROUNDS = smokeRun ? 1 : Number(options.rounds ?? 3);
const CLIENTS = smokeRun ? 1_000 : 65_536;
const CONNECTIONS = 16;
/** Connections take a moment to come and go. */
const SETTLE_MS = 500;

interface Stream {
  messages: number;
  readonly request: ClientRequest;
}

function openStream(port: number): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const asked = get({ port, host: '127.0.0.1', path: '/live', agent: false }, (response) => {
      const stream = { messages: 0, request: asked };
      response.setEncoding('utf8').on('data', (text: string) => {
        stream.messages += text.split('\n\n').length - 1;
      });
      response.on('error', () => {});
      resolve(stream);
    });
    asked.once('error', reject);
  });
}

/** CPU seconds of a window with so many streams. @throws when the streams were not fed */
async function measure({ pid, port }: Child, streams: number): Promise<number> {
  const open = await Promise.all(Array.from({ length: streams }, () => openStream(port)));
  await sleep(SETTLE_MS);
  const before = cpuSeconds(pid);
  const messagesBefore = open.map(({ messages }) => messages);
  await sleep(SECONDS * 1e3);
  const seconds = cpuSeconds(pid) - before;
  open.forEach(({ messages, request: asked }, index) => {
    asked.on('error', () => {});
    asked.destroy();
    const fed = messages - messagesBefore[index]!;
    if (fed < LEAST_MESSAGES) throw new Error(`a stream got ${fed} messages in ${SECONDS} s`);
  });
  await sleep(SETTLE_MS);
  return seconds;
}

/** One request of each of many clients. */
async function fillLimiter(port: number): Promise<void> {
  const body = '{"metrics":[{"name":"a","value":1}]}';
  let next = 0;
  const postAll = async (): Promise<void> => {
    while (next < CLIENTS) {
      const headers = { 'Content-Type': 'application/json', 'X-Client': `client-${next++}` };
      const response = await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'POST', headers, body });
      await response.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, postAll));
}

interface Setting {
  readonly name: string;
  readonly streams: number;
}

const OPEN_TABLE: readonly Setting[] = [
  { name: 'no page', streams: 0 },
  { name: 'one page', streams: 1 },
  { name: 'ten pages', streams: 10 },
];
const FULL_TABLE: readonly Setting[] = [
  { name: 'no page, limiter full', streams: 0 },
  { name: 'one page, limiter full', streams: 1 },
];

const start = (dataDir: string) =>
  startChild(serveArgs(dataDir, '--ack', 'received', '--client-id', 'header:x-client'), undefined);

await withServer(tmpdir(), start, async (server) => {
  const turns = (settings: readonly Setting[]) =>
    takeTurns(settings, ROUNDS, ({ streams }) => measure(server, streams), 0);
  const open = await turns(OPEN_TABLE);
  await fillLimiter(server.port);
  await untilIdle(server.pid);
  const full = await turns(FULL_TABLE);
  await server.stop();
  console.log(`live page: CPU of the server, idle, ${ROUNDS} × ${SECONDS} s each`);
  for (const [{ name }, seconds] of [...open, ...full]) {
    const percent = (100 * mean(seconds)) / SECONDS;
    console.log(`${name.padEnd(24)} ${percent.toFixed(2).padStart(6)}% of one core`);
  }
});
