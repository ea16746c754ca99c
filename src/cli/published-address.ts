/**
 * Publishes the address of this server to programs beside it, such as the image's health check, however the address was
 * configured: an abstract Unix socket that sends it as JSON to whoever connects.
 *
 * Its name holds the process namespace and the process id, so a reader in a container finds the server of that
 * container only, even if containers share a network namespace. deploy/docker/healthcheck.mjs reads it.
 */
import { readlinkSync } from 'node:fs';
import { acquireLock } from '../base/process-lock.ts';

interface PublishedAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** Never fails: without it, a health check falls back to its own environment. */
export async function publishAddress(address: PublishedAddress): Promise<void> {
  try {
    const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
    await acquireLock(`address-${namespace}-${process.pid}`, `${JSON.stringify(address)}\n`);
  } catch {
    // No /proc, or no abstract sockets: the server itself needs neither.
  }
}
