/** Child processes of the benchmark: nats-server, and commands of metricsstream, with the CPU that each used. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { US_PER_SECOND } from '../../src/base/units.ts';
import { cpuSeconds } from '../under-test/usage.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const SAMPLE_MS = 20;
const READY_MS = 20_000;

const cpuUs = (pid: number): number => cpuSeconds(pid) * US_PER_SECOND;

interface Ended {
  /** Null after a signal. */
  readonly code: number | null;
  readonly us: number;
  readonly seconds: number;
}

/** A command with its CPU; `kill` ends it at once. */
interface Command {
  readonly ended: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

export function start(args: readonly string[]): Command {
  const startMs = performance.now();
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  let us = 0;
  const timer = setInterval(() => {
    try {
      us = cpuUs(child.pid!);
    } catch {
      // It has ended.
    }
  }, SAMPLE_MS);
  const ended = new Promise<Ended>((resolve) => {
    child.once('exit', (code) => {
      clearInterval(timer);
      resolve({ code, us, seconds: (performance.now() - startMs) / 1_000 });
    });
  });
  return { ended, kill: (signal) => void child.kill(signal) };
}

/** Runs a command to its end. @throws unless it succeeds */
export async function run(args: readonly string[]): Promise<Ended> {
  const { ended } = start(args);
  const result = await ended;
  assert.equal(result.code, 0, `${args.join(' ')} succeeded`);
  return result;
}

async function freePort(): Promise<number> {
  const finder = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => finder.once('listening', resolve));
  const { port } = finder.address() as { port: number };
  await new Promise((resolve) => finder.close(resolve));
  return port;
}

interface Nats {
  readonly url: string;
  /** CPU of all servers so far. */
  us(): number;
  stop(): Promise<void>;
}

/** One server, or a cluster on loopback. */
export async function startNats(directory: string, size: number): Promise<Nats> {
  const ports = await Promise.all(Array.from({ length: 2 * size }, freePort));
  const clients = ports.slice(0, size);
  const routes = ports.slice(size).map((port) => `nats://127.0.0.1:${port}`);
  const servers = clients.map((port, k) => {
    const path = join(directory, `nats-${k}.conf`);
    const cluster = `cluster { name: bench, listen: "${routes[k]!.slice(7)}", routes: [${routes.join(', ')}] }\n`;
    const store = `jetstream { store_dir: "${join(directory, `store-${k}`)}" }\n`;
    fs.writeFileSync(
      path,
      `server_name: bench${k}\nhost: 127.0.0.1\nport: ${port}\n${store}${size > 1 ? cluster : ''}`,
    );
    return spawn('nats-server', ['-c', path], { stdio: 'ignore' });
  });
  const url = `nats://${clients.map((port) => `127.0.0.1:${port}`).join(',')}`;
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map(ended));
  };
  try {
    await untilReady(url);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, us: () => servers.reduce((sum, { pid }) => sum + cpuUs(pid!), 0), stop };
}

function ended(server: ChildProcess): Promise<unknown> {
  const exit = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGKILL');
  return exit;
}

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    try {
      await run(['export', '--to', url, '--init']);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(500);
    }
  }
}
