/** VictoriaMetrics as Debian packages it, on a free port. */
import { freePort } from '../../load-test/free-port.ts';
import { type Child, startProgram } from './process.ts';

export const VICTORIA_METRICS = { program: 'victoria-metrics', debianPackage: 'victoria-metrics' } as const;

interface VictoriaMetricsOptions {
  /** The core it is pinned to; all of them unless given. */
  readonly core?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
}

export async function startVictoriaMetrics(
  dataDir: string,
  { core, env = {}, flags = [] }: VictoriaMetricsOptions,
): Promise<Child> {
  const port = await freePort();
  const addresses = [`-storageDataPath=${dataDir}`, `-httpListenAddr=127.0.0.1:${port}`];
  const command = [VICTORIA_METRICS.program, ...addresses, ...flags];
  return startProgram({ command, core, env, port, readyPath: '/health' });
}
