/**
 * Runs the built server as a child process on a free port with its own data directory. It ends and is cleaned up with
 * the test that owns it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EVENT_TIMEOUT_MS } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { fetchOnce, fetchSecure } from './raw-http.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const START_TIMEOUT_MS = 180_000;

/**
 * Limits that a stalled disk or a busy machine does not reach, for tests about something else. `startServer` passes them; so
 * does a test that spawns a server itself. A test about one of them passes its own option, which takes precedence.
 */
export const PATIENT_ENVIRONMENT = {
  METRICSSTREAM_REQUEST_TIMEOUT_MS: '60s',
  METRICSSTREAM_SYNC_TIMEOUT_MS: '60s',
  METRICSSTREAM_DRAIN_TIMEOUT_MS: '60s',
  METRICSSTREAM_TARGET_DELAY_MS: '60s',
} as const;

interface LogLine {
  /** trace, debug, info, warn, error or fatal. */
  readonly level?: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ServerOptions {
  /** Binary of Node.js; the one that runs the test by default. */
  readonly node?: string;
  /** Options of `serve`, after --port 0 and --data-dir. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default: a fresh temporary directory, removed at the end. */
  readonly dataDir?: string;
  /** `ulimit -n` of the server. */
  readonly descriptorLimit?: number;
  /** A command that runs its arguments, such as `strace -f …`. */
  readonly wrapper?: readonly string[];
  /** Default: true. False also returns a server whose /ready answers 503. */
  readonly awaitReady?: boolean;
}

export interface ServerProcess {
  readonly url: string;
  readonly port: number;
  /** The server's process, not the wrapper's. */
  readonly pid: number;
  readonly dataDir: string;
  /** The fields of the start-up line. */
  readonly listening: LogLine;
  readonly logs: readonly LogLine[];
  /** Everything the server wrote, for error messages. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<Exit>;
  /** Sends SIGTERM and waits for the exit. */
  stop(): Promise<Exit>;
  /** Resolves with the first log line, past or future, that passes. */
  logged(wanted: (line: LogLine) => boolean, timeoutMs?: number): Promise<LogLine>;
}

/** The server ended before it listened. */
export class StartFailed extends Error {
  readonly exit: Exit;
  readonly output: string;

  constructor(exit: Exit, output: string) {
    super(`the server ended (code ${exit.code}, signal ${exit.signal}) before it listened:\n${output}`);
    this.name = 'StartFailed';
    this.exit = exit;
    this.output = output;
  }
}

function removedWith(owner: Owner, directory: string): string {
  // A process that was killed while it waited for the disk may still create a file.
  onEnd(owner, () => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }));
  return directory;
}

export function temporaryDirectory(owner: Owner, prefix = 'metricsstream-'): string {
  return removedWith(owner, mkdtempSync(join(tmpdir(), prefix)));
}

const MEMORY_FILE_SYSTEM = '/dev/shm';
const MEMORY_MIN_BYTES = 256 << 20;

/**
 * A directory in memory, whose writes and syncs take no longer than a test injects: for time limits of a test or of the
 * product. Falls back to a temporary directory if the machine has too little of it.
 */
export function memoryDirectory(owner: Owner): string {
  if (!existsSync(MEMORY_FILE_SYSTEM)) return temporaryDirectory(owner);
  const { bavail, bsize } = statfsSync(MEMORY_FILE_SYSTEM);
  if (bavail * bsize < MEMORY_MIN_BYTES) return temporaryDirectory(owner);
  return removedWith(owner, mkdtempSync(join(MEMORY_FILE_SYSTEM, 'metricsstream-')));
}

/**
 * Most tests read the files right after an answer, or make file operations fail. The write-ahead log copies lines into
 * the files behind the answers, and writes by its own calls, so it has tests of its own; see `WITH_WAL`.
 */
const WITHOUT_WAL = { METRICSSTREAM_WAL: 'off' } as const;
/** For `ServerOptions.env`: the best back-end that works here. Lines reach the files behind the answers then. */
export const WITH_WAL = { METRICSSTREAM_WAL: 'auto' } as const;

/** This process's environment without options for the server or the test runner. */
function childEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('METRICSSTREAM_') && name !== 'NODE_TEST_CONTEXT' && name !== 'NODE_OPTIONS',
  );
  return { ...Object.fromEntries(inherited), ...WITHOUT_WAL, ...extra };
}

const alive = new Set<() => void>();
process.on('exit', () => {
  for (const kill of alive) kill();
});
// If the test run is stopped, its servers end with it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

function commandLine(options: ServerOptions, serveArgs: readonly string[]): [string, string[]] {
  let command = [options.node ?? process.execPath, MAIN, 'serve', ...serveArgs];
  if (options.wrapper !== undefined) command = [...options.wrapper, ...command];
  if (options.descriptorLimit !== undefined) {
    command = ['sh', '-c', `ulimit -n ${options.descriptorLimit}; exec "$0" "$@"`, ...command];
  }
  const [file = '', ...args] = command;
  return [file, args];
}

/** Splits a child's output into lines and parses those that are JSON objects. */
class Output {
  readonly logs: LogLine[] = [];
  text = '';
  private readonly rests: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
  private readonly watchers = new Set<() => void>();

  constructor(child: ChildProcess) {
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => this.append(name, text));
    }
  }

  onChange(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  private append(name: 'stdout' | 'stderr', text: string): void {
    this.text += text;
    const lines = (this.rests[name] + text).split('\n');
    this.rests[name] = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('{')) continue;
      try {
        this.logs.push(JSON.parse(line) as LogLine);
      } catch {
        // Two writers can interleave on stderr; `text` keeps the line for error messages.
      }
    }
    for (const watcher of this.watchers) watcher();
  }
}

function waitForLine(
  output: Output,
  exited: Promise<Exit>,
  wanted: (line: LogLine) => boolean,
  timeoutMs: number,
): Promise<LogLine> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const line = output.logs.find(wanted);
      if (line !== undefined) finish(() => resolve(line));
    };
    const timer = setTimeout(
      () => finish(() => reject(new Error(`no such log line within ${timeoutMs} ms:\n${output.text}`))),
      timeoutMs,
    );
    const stopWatching = output.onChange(look);
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      stopWatching();
      settle();
    };
    exited.then((exit) => {
      look();
      finish(() => reject(new StartFailed(exit, output.text)));
    });
    look();
  });
}

/**
 * Starts the server and waits until it is ready.
 * @throws {StartFailed} if it ends first
 */
export async function startServer(owner: Owner, options: ServerOptions = {}): Promise<ServerProcess> {
  const dataDir = options.dataDir ?? temporaryDirectory(owner);
  const [file, args] = commandLine(options, ['--port', '0', '--data-dir', dataDir, ...(options.args ?? [])]);
  const env = childEnvironment({ ...PATIENT_ENVIRONMENT, ...options.env });
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let pid = child.pid ?? 0;
  let running = true;
  const output = new Output(child);
  const signalServer = (signal: NodeJS.Signals) => {
    if (!running || pid === 0) return;
    try {
      process.kill(pid, signal);
    } catch {
      // It ended between the check and the call.
    }
  };
  const killNow = () => signalServer('SIGKILL');
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => {
      output.text += String(error);
      resolve({ code: null, signal: null });
    });
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  exited.then(() => {
    running = false;
    alive.delete(killNow);
  });
  alive.add(killNow);
  onEnd(owner, async () => {
    killNow();
    await exited;
  });

  const listening = await waitForLine(output, exited, (line) => line.msg === 'listening', START_TIMEOUT_MS);
  const port = Number(listening.port);
  pid = Number(listening.pid);
  const fetch = args.includes('--tls-cert') ? fetchSecure : fetchOnce;
  const ready = await fetch(port, { path: '/ready' });
  if (ready.status !== 200 && options.awaitReady !== false)
    throw new Error(`/ready answered ${ready.status}: ${ready.body}`);

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    pid,
    dataDir,
    listening,
    logs: output.logs,
    output: () => output.text,
    kill: signalServer,
    exited,
    stop: () => {
      signalServer('SIGTERM');
      return exited;
    },
    logged: (wanted, timeoutMs = EVENT_TIMEOUT_MS) => waitForLine(output, exited, wanted, timeoutMs),
  };
}

export interface CliResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line to its end (SIGKILL after `timeoutMs`). */
export function runCli(
  args: readonly string[],
  options: {
    env?: Readonly<Record<string, string>>;
    timeoutMs?: number;
    cwd?: string;
    wrapper?: readonly string[];
  } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const [file = '', ...fileArgs] = [...(options.wrapper ?? []), process.execPath, MAIN, ...args];
    const child = spawn(file, fileArgs, {
      env: childEnvironment(options.env),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 300_000,
      killSignal: 'SIGKILL',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Runs `verify` on a data directory. */
export function verify(dataDir: string): Promise<CliResult> {
  return runCli(['verify', '--data-dir', dataDir]);
}

/** A subcommand that runs until it is stopped, such as `tail -f`, with its complete lines so far. */
export interface CliProcess {
  readonly pid: number;
  readonly lines: readonly string[];
  /** Resolves once `enough` accepts the lines printed. */
  until(enough: (lines: readonly string[]) => boolean, timeoutMs?: number): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<Exit>;
}

export function startCli(
  owner: Owner,
  args: readonly string[],
  options: { wrapper?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
): CliProcess {
  const [file = '', ...fileArgs] = [...(options.wrapper ?? []), process.execPath, MAIN, ...args];
  const child = spawn(file, fileArgs, {
    env: childEnvironment(options.env),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  let rest = '';
  let look = () => {};
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    look();
  });
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  onEnd(owner, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    pid: child.pid ?? 0,
    lines,
    exited,
    kill: (signal) => {
      child.kill(signal);
    },
    until: (enough, timeoutMs = EVENT_TIMEOUT_MS) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`not within ${timeoutMs} ms; printed:\n${lines.join('\n')}`)),
          timeoutMs,
        );
        look = () => {
          if (!enough(lines)) return;
          clearTimeout(timer);
          look = () => {};
          resolve();
        };
        look();
      }),
  };
}

/** Resident set of a process in bytes. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (match === null) throw new Error(`no VmRSS for process ${pid}`);
  return Number(match[1]) * 1024;
}

/** Open descriptors of a process. */
export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
