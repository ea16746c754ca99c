/** A server under test as a child process pinned to a core, in a directory that goes with it. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Launched, launch, stopServer, untilListening } from '../../load-test/server-process.ts';

/** The server and all its threads have one core, the load another. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

/** The built program. */
export const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 50;
/** Long enough for Fastify to write what it has queued. */
const STOP_TIMEOUT_MS = 60_000;

/** Request limits are high rather than off, so that their cost is included. */
export const NO_LIMIT = ['--rate-limit', '1000000000'] as const;
/** Also, a slow disk delays requests instead of refusing them, as with the other servers. */
export const REFUSES_NOTHING = [
  ...NO_LIMIT,
  ...['--target-delay-ms', '60000', '--request-timeout-ms', '60000', '--sync-timeout-ms', '60000'],
] as const;

/** Arguments for Node.js that start the built server on any free port. */
export const serveArgs = (dataDir: string, ...options: readonly string[]): string[] => [
  ...[MAIN, 'serve', '--port', '0', '--data-dir', dataDir],
  ...options,
];

export interface Child {
  readonly pid: number;
  readonly port: number;
  /** How it ended. */
  readonly exited: Promise<string>;
  /** Drains it, once; further calls wait for the same end. @throws when the exit code is not 0 */
  stop(): Promise<void>;
  /** Kills it; does nothing when it has ended. */
  kill(): void;
}

function asChild(name: string, port: number, launched: Launched): Child {
  const { child, exited, output } = launched;
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const how = await stopServer(launched, STOP_TIMEOUT_MS);
    if (how !== 'code 0') throw new Error(`${name}: stopped with ${how}\n${output()}`);
  };
  return {
    // taskset replaces itself by the server, so the process is the same.
    pid: child.pid as number,
    port,
    exited,
    kill: () => void child.kill('SIGKILL'),
    stop: () => (stopping ??= stop()),
  };
}

/** @param core undefined: all of them */
export const pinned = (command: readonly string[], core: number | undefined): readonly string[] =>
  core === undefined ? command : ['taskset', '-c', String(core), ...command];

export interface ChildOptions {
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Makes the command one that ends in it by exec, so that the process stays the same. */
  readonly wrap?: (command: readonly string[]) => readonly string[];
}

/**
 * Starts a Node.js script that logs the port on which it listens.
 * @param core the core it is pinned to; undefined: all of them
 * @throws when it ends, or does not listen in time
 */
export async function startChild(
  args: readonly string[],
  core: number | undefined,
  { env = {}, wrap = (command) => command }: ChildOptions = {},
): Promise<Child> {
  const launched = launch(pinned(wrap([process.execPath, ...args]), core), {
    env: { ...process.env, ...env },
  });
  try {
    return asChild(args.join(' '), await untilListening(launched), launched);
  } catch (error) {
    launched.child.kill('SIGKILL');
    throw error;
  }
}

export interface ProgramOptions {
  readonly command: readonly string[];
  /** undefined: all of them. */
  readonly core: number | undefined;
  /** Added to the environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  /** Asked until it answers 2xx: then the program accepts requests. */
  readonly readyPath: string;
}

/** Starts any program that answers HTTP. @throws when it ends, or is not ready in time */
export async function startProgram({ command, core, env, port, readyPath }: ProgramOptions): Promise<Child> {
  const launched = launch(pinned(command, core), { env: { ...process.env, ...env } });
  const name = command.join(' ');
  let ended: string | undefined;
  launched.exited.then((how) => {
    ended = how;
  });
  for (const deadline = performance.now() + READY_TIMEOUT_MS; ; await sleep(READY_POLL_MS)) {
    const ready = await fetch(`http://127.0.0.1:${port}${readyPath}`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return asChild(name, port, launched);
    if (ended === undefined && performance.now() < deadline) continue;
    launched.child.kill('SIGKILL');
    const why = ended === undefined ? 'not ready' : `ended with ${ended}`;
    throw new Error(`${name}: ${why}\n${launched.output()}`);
  }
}

/**
 * Runs `work` in a new directory in `scratch`, with an empty data directory in it. Removes both afterwards, also when
 * the process ends early.
 */
export async function inScratch<T>(
  scratch: string,
  work: (directory: string, dataDir: string) => Promise<T>,
): Promise<T> {
  mkdirSync(scratch, { recursive: true });
  const directory = mkdtempSync(join(scratch, 'cell-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    const dataDir = join(directory, 'data');
    mkdirSync(dataDir);
    return await work(directory, dataDir);
  } finally {
    process.off('exit', remove);
    remove();
  }
}

/** Starts a server in a directory of its own. Kills it, and removes the directory, when `work` is done. */
export const withServer = <T>(
  scratch: string,
  start: (dataDir: string) => Promise<Child>,
  work: (server: Child, dataDir: string, directory: string) => Promise<T>,
): Promise<T> =>
  inScratch(scratch, (directory, dataDir) =>
    withChild(start(dataDir), (server) => work(server, dataDir, directory)),
  );

/** Starts a server, and kills it when `work` is done unless it has stopped. */
export async function withChild<T>(starting: Promise<Child>, work: (child: Child) => Promise<T>): Promise<T> {
  const child = await starting;
  try {
    return await work(child);
  } finally {
    child.kill();
    await child.exited;
  }
}
