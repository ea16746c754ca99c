import { createServer } from 'node:net';
import { MetricsStreamError } from '../base/errors.ts';

/**
 * Binds host and port exclusively for a moment: with SO_REUSEPORT alone a second server would silently share the
 * port. Returns the port, which for 0 is the free one the kernel picked.
 */
export function probePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new MetricsStreamError(
              'PORT_IN_USE',
              `port ${port} on ${host} is in use; stop that server or give --port`,
            )
          : new MetricsStreamError('BIND_FAILED', `cannot listen on ${host}:${port}: ${error.message}`),
      );
    });
    probe.listen({ host, port, exclusive: true }, () => {
      const address = probe.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      probe.close(() => resolve(bound));
    });
  });
}
