/**
 * The cost of the live page: CPU time of the whole process in windows without a stream, with one, with ten
 * streams, and with one while the limiter's table is full, which main then looks through once a second.
 *
 * The windows of the settings take turns, so that what else the machine does falls on all alike. Nothing is sent
 * meanwhile but the streams: idle traffic is where their share is largest.
 *
 * Usage: node dist/bench/live-page/main.js [--seconds 20] [--rounds 3] [--smoke]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, type ClientRequest, get, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Child, serveArgs, startChild } from '../under-test/process.ts';
import { cpuSeconds, untilIdle } from '../under-test/usage.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
    smoke: { type: 'boolean', default: false },
  },
});
const SECONDS = values.smoke ? 2 : Number(values.seconds);
const ROUNDS = values.smoke ? 1 : Number(values.rounds);
const CLIENTS = values.smoke ? 1_000 : 65_536;
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
    if (fed < SECONDS / 2) throw new Error(`a stream got ${fed} messages in ${SECONDS} s`);
  });
  await sleep(SETTLE_MS);
  return seconds;
}

/** One request of each of many clients. */
async function fillLimiter(port: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const body = '{"metrics":[{"name":"a","value":1}]}';
  let next = 0;
  const postAll = async (): Promise<void> => {
    while (next < CLIENTS) {
      const client = `client-${next++}`;
      await new Promise<void>((resolve, reject) => {
        const headers = { 'Content-Type': 'application/json', 'X-Client': client };
        const asked = request(
          { port, host: '127.0.0.1', agent, method: 'POST', path: '/metrics', headers },
          (response) => response.resume().once('end', resolve),
        );
        asked.once('error', reject).end(body);
      });
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, postAll));
  agent.destroy();
}

const dataDir = mkdtempSync(join(tmpdir(), 'live-page-'));
const server = await startChild(
  serveArgs(dataDir, '--ack', 'received', '--client-id', 'header:x-client'),
  undefined,
);
try {
  const settings = [
    { name: 'no page', streams: 0 },
    { name: 'one page', streams: 1 },
    { name: 'ten pages', streams: 10 },
  ];
  const used = new Map<string, number>();
  const add = async (name: string, streams: number): Promise<void> => {
    used.set(name, (used.get(name) ?? 0) + (await measure(server, streams)));
  };
  for (let round = 0; round < ROUNDS; round++)
    for (const { name, streams } of settings) await add(name, streams);
  await fillLimiter(server.port);
  await untilIdle(server.pid);
  for (let round = 0; round < ROUNDS; round++) {
    await add('no page, limiter full', 0);
    await add('one page, limiter full', 1);
  }
  console.log(`live page: CPU of the server, idle, ${ROUNDS} × ${SECONDS} s each`);
  for (const [name, seconds] of used) {
    const percent = (100 * seconds) / (ROUNDS * SECONDS);
    console.log(`${name.padEnd(24)} ${percent.toFixed(2).padStart(6)}% of one core`);
  }
} finally {
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
