/** A server of the clone's own build, for as long as it is measured. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { launch, untilListening } from '../../../load-test/server-process.ts';

/** A disk that stalls while it is measured makes a figure worse; it fails no request. */
const PATIENCE = ['--request-timeout-ms', '60s', '--sync-timeout-ms', '60s', '--target-delay-ms', '60s'];

interface ServerShape {
  readonly root: string;
  readonly phase: string;
  readonly ack: 'synced' | 'written';
  /** Parent of the data directory: the disk that it writes to. */
  readonly directory: string;
  readonly env?: NodeJS.ProcessEnv;
}

export async function withServer<T>(
  { root, phase, ack, directory, env = {} }: ServerShape,
  use: (port: number) => Promise<T>,
): Promise<T> {
  mkdirSync(directory, { recursive: true });
  const dataDir = mkdtempSync(join(directory, 'metricsstream-lab-'));
  const options = [
    '--port',
    '0',
    '--data-dir',
    dataDir,
    // Up to phase 6 a thread that loses its core with the limiter's lock refuses the requests of others.
    '--rate-limit',
    '0',
    '--ack',
    ack,
    '--phase',
    phase,
    ...PATIENCE,
  ];
  const server = launch([process.execPath, join(root, 'dist/src/main.js'), 'serve', ...options], {
    env: { ...process.env, ...env },
  });
  try {
    return await use(await untilListening(server));
  } finally {
    server.child.kill('SIGTERM');
    await server.exited;
    rmSync(dataDir, { recursive: true, force: true });
  }
}
