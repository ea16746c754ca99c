/** The nats-servers of the benchmark, with the CPU that they used. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../load-test/free-port.ts';
import { cpuUs, run } from '../under-test/command.ts';
import { inScratch } from '../under-test/process.ts';

const READY_MS = 20_000;

export interface Nats {
  readonly url: string;
  readonly pids: readonly number[];
  /** CPU of all servers so far. */
  us(): number;
  stop(): Promise<void>;
}

/** Starts one server, or a cluster on loopback, in a directory of its own. */
export function withNats<T>(size: number, work: (nats: Nats) => Promise<T>): Promise<T> {
  return inScratch(os.tmpdir(), async (directory) => {
    const nats = await startNats(directory, size);
    return work(nats).finally(nats.stop);
  });
}

async function startNats(directory: string, size: number): Promise<Nats> {
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
  const pids = servers.map(({ pid }) => pid!);
  return { url, pids, us: () => pids.reduce((sum, pid) => sum + cpuUs(pid), 0), stop };
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
