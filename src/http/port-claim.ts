import { createServer } from 'node:net';
import { MetricsStreamError } from '../base/errors.ts';
import { takeLock } from '../base/process-lock.ts';

/** Free ports that may turn out to be another server's, picked in the same moment. */
const PICKS_MAX = 20;

export interface PortClaim {
  readonly port: number;
  release(): Promise<void>;
}

/**
 * Makes host and port this process's own: with SO_REUSEPORT alone a second server would silently share the port.
 *
 * Binding the port exclusively for a moment finds whoever listens; a lock, held as long as the claim, keeps out a
 * second server of this kind that looks in the moment before the first one listens.
 * @param port 0: a free one that the kernel picks
 * @throws MetricsStreamError PORT_IN_USE or BIND_FAILED
 */
export async function claimPort(host: string, port: number): Promise<PortClaim> {
  for (let pick = 1; ; pick++) {
    const bound = await bindForAMoment(host, port);
    try {
      // Host names may be long; their tail tells them apart no worse than their head.
      const release = await takeLock(`port-${bound}-${host.slice(-64)}`);
      return { port: bound, release };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (port !== 0 || pick === PICKS_MAX) throw portInUse(host, bound);
    }
  }
}

function portInUse(host: string, port: number): MetricsStreamError {
  return new MetricsStreamError(
    'PORT_IN_USE',
    `port ${port} on ${host} is in use; stop that server or give --port`,
  );
}

function bindForAMoment(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? portInUse(host, port)
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
