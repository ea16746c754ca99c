/** A server as a child process: how it starts, when it listens, what it printed, how it ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const START_TIMEOUT_MS = 60_000;
/** Enough for an error message. */
const OUTPUT_KEPT_CHARS = 16_384;

export interface Launched {
  readonly child: ChildProcess;
  /** `code 0`, `signal SIGKILL`, or why it could not start. */
  readonly exited: Promise<string>;
  /** The end of its stdout and stderr. */
  output(): string;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface LaunchOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** A Ctrl-C in the terminal does not reach it. */
  readonly detached?: boolean;
}

export function launch(command: readonly string[], { env, detached = false }: LaunchOptions = {}): Launched {
  const [file = '', ...args] = command;
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: env ?? process.env, detached });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_KEPT_CHARS);
    });
  }
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('close', (code, signal) => resolve(code === null ? `signal ${signal}` : `code ${code}`));
  });
  exited.then(() => running.delete(child));
  return { child, exited, output: () => output };
}

/** The port in the "listening" log line. */
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

/** @throws when the server ends, or does not listen in time */
export function untilListening(
  { child, exited, output }: Launched,
  timeoutMs = START_TIMEOUT_MS,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`the server ${why}:\n${output()}`));
    const timer = setTimeout(() => fail('did not listen in time'), timeoutMs);
    exited.then((how) => {
      clearTimeout(timer);
      fail(`ended with ${how}`);
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', () => {
        const port = listeningPort(output());
        if (port === undefined) return;
        clearTimeout(timer);
        resolve(port);
      });
    }
  });
}

/** Sends SIGTERM, and SIGKILL if the server is still there after `timeoutMs`. @returns how it ended */
export async function stopServer({ child, exited }: Launched, timeoutMs: number): Promise<string> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const how = await exited;
  clearTimeout(timer);
  return how;
}

export interface Memory {
  readonly residentBytes: number;
  readonly peakBytes: number;
}

/** Resident set of a process, from the operating system. */
export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const bytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { residentBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') };
}
