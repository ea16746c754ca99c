import { type AddressInfo, createServer } from 'node:net';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';

/**
 * Binds host and port for a moment, since uWebSockets.js reports that listening failed but not why.
 * @param port 0: a free one that the kernel picks. uSockets sets SO_REUSEADDR only on ports that are named, and without
 *   it a restart on the same port fails as long as old connections are in TIME_WAIT.
 * @returns the port
 * @throws MetricsStreamError PORT_IN_USE or BIND_FAILED
 */
export function probePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? portInUse(host, port)
          : new MetricsStreamError(
              'BIND_FAILED',
              `cannot listen on ${host}:${port}: ${systemErrorText(error)}; give --host an address of this machine and --port a port that this user may bind`,
            ),
      );
    });
    probe.listen({ host, port, exclusive: true }, () => {
      const { port: bound } = probe.address() as AddressInfo;
      probe.close(() => resolve(bound));
    });
  });
}

export function portInUse(host: string, port: number): MetricsStreamError {
  return new MetricsStreamError(
    'PORT_IN_USE',
    `port ${port} on ${host} is in use; stop that server or give --port`,
  );
}
