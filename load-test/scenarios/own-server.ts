/** The built server as a child process with a data directory of its own, gone when the scenario ends. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LoadError } from '../errors.ts';
import { launch, stopServer, untilListening } from '../server-process.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const STOP_TIMEOUT_MS = 30_000;

export interface OwnServer {
  readonly pid: number;
  readonly port: number;
  readonly dataDir: string;
  /** Drains it. @returns how it ended: `code 0` when nothing went wrong */
  stop(): Promise<string>;
  /** Kills it and removes the data. */
  remove(): void;
}

/** The environment without options meant for another server. */
function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('METRICSSTREAM_'));
  return { ...Object.fromEntries(inherited), ...extra };
}

/** @throws LoadError when it does not come up */
export async function startOwnServer(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<OwnServer> {
  if (!existsSync(MAIN)) throw new LoadError('the server is not built: run npm run build first');
  const dataDir = mkdtempSync(join(tmpdir(), 'metricsstream-load-'));
  const command = [process.execPath, MAIN, 'serve', '--port', '0', '--data-dir', dataDir, ...args];
  // A Ctrl-C in the terminal is meant for the load; the server ends with the scenario.
  const launched = launch(command, { env: environment(env), detached: true });
  const remove = (): void => {
    process.off('exit', remove);
    launched.child.kill('SIGKILL');
    rmSync(dataDir, { recursive: true, force: true });
  };
  process.on('exit', remove);
  try {
    const port = await untilListening(launched);
    return {
      pid: launched.child.pid!,
      port,
      dataDir,
      remove,
      stop: () => stopServer(launched, STOP_TIMEOUT_MS),
    };
  } catch (error) {
    remove();
    throw new LoadError((error as Error).message);
  }
}
