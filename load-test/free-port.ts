/** Ports for programs that cannot choose one themselves. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const LEAST_PORT = 10_240;
/** Linux's own default, where the setting cannot be read. */
const LEAST_EPHEMERAL_PORT = 32_768;
const TRIES = 100;

function leastEphemeralPort(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10);
  } catch {
    return LEAST_EPHEMERAL_PORT;
  }
}

async function isFree(port: number): Promise<boolean> {
  const finder = createServer().listen(port, '127.0.0.1');
  const listens = await once(finder, 'listening').then(
    () => true,
    () => false,
  );
  if (!listens) return false;
  finder.close();
  await once(finder, 'close');
  return true;
}

/**
 * A port of 127.0.0.1 on which nothing listened a moment ago. It lies below those that the kernel gives to connections
 * and to `--port 0`, because one of them could be taken until the program listens.
 * @throws when none of many is free
 */
export async function freePort(): Promise<number> {
  const count = leastEphemeralPort() - LEAST_PORT;
  for (let tries = 0; tries < TRIES; tries++) {
    const port = LEAST_PORT + Math.floor(Math.random() * count);
    if (count > 0 && (await isFree(port))) return port;
  }
  throw new Error(
    `no free port from ${LEAST_PORT} to ${LEAST_PORT + count - 1}: see net.ipv4.ip_local_port_range`,
  );
}
