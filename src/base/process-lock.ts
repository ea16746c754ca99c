/**
 * Locks that the kernel frees however their process dies: listening on an abstract Unix socket of a name.
 *
 * Binding is atomic. The name fills the whole address, since whether a shorter one is padded with NULs differs
 * between versions of Node. Abstract names are seen only within one network namespace (unix(7)).
 */
import net from 'node:net';

/** Bytes of `sun_path`. */
const ADDRESS_BYTES = 108;

/** The address of the lock `name`, at most 92 characters of ASCII. */
export function lockAddress(name: string): string {
  return `\0metricsstream-${name}-`.padEnd(ADDRESS_BYTES, '.');
}

/**
 * Holds a lock until released, or until the process ends. Does not keep the process alive.
 * @param greeting sent to whoever connects
 * @throws EADDRINUSE when another process holds it
 */
export async function takeLock(name: string, greeting = ''): Promise<() => Promise<void>> {
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    // Gone as soon as it is told, whatever the other side does: a release waits for all of them.
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
