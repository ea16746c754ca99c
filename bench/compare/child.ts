/**
 * A server under test as a child process pinned to one core, and what the operating system says of it: CPU time
 * of all its threads, resident memory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Ticks of utime and stime a second: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const START_TIMEOUT_MS = 15_000;
/** Long enough for Fastify to write what it has queued. */
const STOP_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 50;
const IDLE_SAMPLE_MS = 100;
const IDLE_SAMPLES = 4;
const IDLE_TIMEOUT_MS = 30_000;

export interface Child {
  readonly pid: number;
  readonly port: number;
  /** How it ended. */
  readonly exited: Promise<string>;
  /** Sends SIGTERM and waits for the exit. Throws when the exit code is not 0. */
  stop(): Promise<void>;
  /** Ends it at once; nothing happens when it has ended. */
  kill(): void;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** The port in the child's "listening" line; other lines are skipped. */
function listeningPort(text: string): number | undefined {
  for (const line of text.split('\n').slice(0, -1)) {
    try {
      const { msg, port } = JSON.parse(line) as { msg?: unknown; port?: unknown };
      if (msg === 'listening' && typeof port === 'number') return port;
    } catch {
      // Not a log line.
    }
  }
  return undefined;
}

interface Launched {
  readonly child: ChildProcess;
  readonly exited: Promise<string>;
  /** The last of what it printed. */
  output(): string;
}

/** @param core the core it is pinned to; undefined: all of them */
function launch(
  command: readonly string[],
  core: number | undefined,
  env: NodeJS.ProcessEnv = process.env,
): Launched {
  const pinned = core === undefined ? command : ['taskset', '-c', String(core), ...command];
  const [file = '', ...args] = pinned;
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      // What comes once it listens serves error messages only; a bounded piece is enough.
      output = (output + text).slice(-16_384);
    });
  }
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('close', (code, signal) => resolve(code === null ? `signal ${signal}` : `code ${code}`));
  });
  exited.then(() => running.delete(child));
  return { child, exited, output: () => output };
}

function asChild(name: string, port: number, { child, exited, output }: Launched): Child {
  return {
    // taskset replaces itself by the server, so the process is the same.
    pid: child.pid as number,
    port,
    exited,
    kill: () => {
      child.kill('SIGKILL');
    },
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      const how = await exited;
      clearTimeout(timer);
      if (how !== 'code 0') throw new Error(`${name}: stopped with ${how}\n${output()}`);
    },
  };
}

export interface ChildOptions {
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Makes the command one that ends in it by exec, so that the process stays the same. */
  readonly wrap?: (command: readonly string[]) => readonly string[];
}

/**
 * Starts a Node script.
 * @param core the core it is pinned to; undefined: all of them
 * @throws when it ends, or says nothing for too long, before it listens
 */
export async function startChild(
  args: readonly string[],
  core: number | undefined,
  { env = {}, wrap = (command) => command }: ChildOptions = {},
): Promise<Child> {
  const launched = launch(wrap([process.execPath, ...args]), core, { ...process.env, ...env });
  const { child, exited, output } = launched;
  const name = args.join(' ');
  const port = await new Promise<number>((resolve, reject) => {
    const give = (why: string) => reject(new Error(`${name}: ${why}\n${output()}`));
    const timer = setTimeout(() => give(`not listening after ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
    exited.then((how) => give(`ended with ${how}`));
    const look = () => {
      const found = listeningPort(output());
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    };
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', look);
  });
  return asChild(name, port, launched);
}

export interface ProgramOptions {
  readonly command: readonly string[];
  readonly core: number;
  /** Added to the environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  /** Asked until it answers 2xx: then the program takes requests. */
  readonly readyPath: string;
}

/** Starts any program that answers HTTP. @throws when it ends, or is not ready in time */
export async function startProgram({ command, core, env, port, readyPath }: ProgramOptions): Promise<Child> {
  const launched = launch(command, core, { ...process.env, ...env });
  const name = command.join(' ');
  let ended: string | undefined;
  launched.exited.then((how) => {
    ended = how;
  });
  for (const deadline = performance.now() + START_TIMEOUT_MS; ; await sleep(READY_POLL_MS)) {
    const ready = await fetch(`http://127.0.0.1:${port}${readyPath}`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return asChild(name, port, launched);
    if (ended === undefined && performance.now() < deadline) continue;
    launched.child.kill('SIGKILL');
    throw new Error(
      `${name}: ${ended === undefined ? 'not ready' : `ended with ${ended}`}\n${launched.output()}`,
    );
  }
}

/** A loopback port that was free a moment ago, for programs that cannot choose one themselves. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** User and system time of all threads, ended ones included, in seconds (resolution 10 ms). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command's name, in parentheses, may contain spaces; state is the first field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export interface Memory {
  readonly residentBytes: number;
  readonly peakBytes: number;
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const bytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { residentBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') };
}

/**
 * Waits until the process has nothing left to do, so that work put off is counted to the load that caused it. Several
 * quiet samples in a row, since a busy machine can keep a process from its core for a while.
 */
export async function untilIdle(pid: number): Promise<void> {
  const deadline = performance.now() + IDLE_TIMEOUT_MS;
  let quiet = 0;
  for (let before = cpuSeconds(pid); quiet < IDLE_SAMPLES; ) {
    if (performance.now() > deadline) {
      throw new Error(`process ${pid} still busy ${IDLE_TIMEOUT_MS} ms after the load ended`);
    }
    await sleep(IDLE_SAMPLE_MS);
    const now = cpuSeconds(pid);
    quiet = now - before <= 1.5 / TICKS_PER_SECOND ? quiet + 1 : 0;
    before = now;
  }
}
