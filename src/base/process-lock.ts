/**
 * Locks that the kernel releases however their process dies: a process holds one while it listens on an abstract Unix
 * socket of that name.
 *
 * Binding is atomic. The name fills the whole address, because versions of Node differ in whether they pad shorter ones
 * with NULs. Abstract names are visible within one network namespace only (unix(7)).
 */
import net from 'node:net';

/** Bytes of `sun_path`. */
const ADDRESS_BYTES = 108;

/** The address of the lock `name`: at most 92 characters of ASCII. */
export function lockAddress(name: string): string {
  return `\0metricsstream-${name}-`.padEnd(ADDRESS_BYTES, '.');
}

/**
 * Acquires a lock until it is released, or until the process ends. It does not keep the process alive.
 * @param greeting sent to every process that connects
 * @throws EADDRINUSE if another process holds it
 */
export async function acquireLock(name: string, greeting = ''): Promise<() => Promise<void>> {
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    // Closed as soon as the greeting is sent, because a release waits for all connections.
    socket.end(greeting, () => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: lockAddress(name), exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
}
