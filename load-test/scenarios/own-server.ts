/** The built server as a child process with a data directory of its own, gone when the scenario ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LoadError } from '../errors.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 30_000;
const OUTPUT_KEPT_CHARS = 16_384;

export interface OwnServer {
  readonly pid: number;
  readonly port: number;
  readonly dataDir: string;
  /** Orderly; resolves with the exit code, null after a signal. */
  stop(): Promise<number | null>;
  /** At once, and removes the data. */
  remove(): void;
}

const running = new Set<() => void>();
process.on('exit', () => {
  for (const remove of running) remove();
});

/** The environment without options meant for another server. */
function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('METRICSSTREAM_'));
  return { ...Object.fromEntries(inherited), ...extra };
}

function listeningPort(output: string): number | undefined {
  for (const line of output.split('\n').slice(0, -1)) {
    try {
      const { msg, port } = JSON.parse(line) as { msg?: unknown; port?: unknown };
      if (msg === 'listening' && typeof port === 'number') return port;
    } catch {
      // Not a log line.
    }
  }
  return undefined;
}

function untilListening(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = '';
    const fail = (why: string): void => reject(new LoadError(`the server ${why}:\n${output}`));
    const timer = setTimeout(() => fail('did not listen in time'), START_TIMEOUT_MS);
    child.once('error', (error) => fail(`could not be started (${error.message})`));
    child.once('close', (code, signal) => fail(`ended with ${code ?? signal}`));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-OUTPUT_KEPT_CHARS);
        const port = listeningPort(output);
        if (port === undefined) return;
        clearTimeout(timer);
        resolve(port);
      });
    }
  });
}

/** @throws LoadError when it does not come up */
export async function startOwnServer(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<OwnServer> {
  if (!existsSync(MAIN)) throw new LoadError('the server is not built: run npm run build first');
  const dataDir = mkdtempSync(join(tmpdir(), 'metricsstream-load-'));
  const child = spawn(process.execPath, [MAIN, 'serve', '--port', '0', '--data-dir', dataDir, ...args], {
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A Ctrl-C in the terminal is meant for the load; the server ends with the scenario.
    detached: true,
  });
  const exited = new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  const remove = (): void => {
    running.delete(remove);
    child.kill('SIGKILL');
    rmSync(dataDir, { recursive: true, force: true });
  };
  running.add(remove);
  try {
    const port = await untilListening(child);
    return {
      pid: child.pid!,
      port,
      dataDir,
      remove,
      async stop() {
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
        const code = await exited;
        clearTimeout(timer);
        return code;
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Resident set of a process in bytes, from the operating system. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return match === null ? Number.NaN : Number(match[1]) * 1024;
}
