/**
 * Debian's nats-server on loopback with its own JetStream directory: one server, or a cluster of three. Servers keep their ports
 * and directories across `kill` and `start`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { freePort } from '../../load-test/free-port.ts';
import { EVENT_TIMEOUT_MS, eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { memoryDirectory, temporaryDirectory } from './server-process.ts';

const CLUSTER_SIZE = 3;
/** The server reserves the limits of its streams. Its default depends on the free space, which memory has less of. */
const FILE_STORE_MAX_BYTES = 2 ** 40;

export interface NatsOptions {
  /** Further text of the configuration file, such as `authorization { … }`. */
  readonly config?: string;
  /**
   * Default: in memory. Clients give up after seconds, and JetStream's requests wait for its disk. A cluster of 2.9.10 whose
   * disks stall can create a stream on its old leader alone, which stays without a quorum.
   */
  readonly storeDir?: string;
  readonly jetStream?: boolean;
  /** Default: 127.0.0.1. */
  readonly host?: string;
}

export interface NatsServer {
  readonly name: string;
  readonly port: number;
  readonly storeDir: string;
  readonly pid: number;
  /** Starts it again on the same port and directory. */
  start(): Promise<void>;
  /** Ends it by a signal and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Sends a signal such as SIGSTOP without waiting. */
  signal(signal: NodeJS.Signals): void;
  /** Everything it logged. */
  output(): string;
}

class Server implements NatsServer {
  readonly name: string;
  readonly port: number;
  readonly storeDir: string;
  private readonly configPath: string;
  private child: ChildProcess | null = null;
  private exited: Promise<void> = Promise.resolve();
  private text = '';

  constructor(name: string, port: number, storeDir: string, configPath: string) {
    this.name = name;
    this.port = port;
    this.storeDir = storeDir;
    this.configPath = configPath;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  output(): string {
    return this.text;
  }

  async start(): Promise<void> {
    const child = spawn('nats-server', ['-c', this.configPath], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    const before = this.text.length;
    const append = (text: string): void => {
      this.text += text;
    };
    child.stdout.setEncoding('utf8').on('data', append);
    child.stderr.setEncoding('utf8').on('data', append);
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => append(String(error)));
      child.once('close', () => resolve());
    });
    const ended = this.exited.then(() => true);
    await eventually(`nats-server listens\n${this.text}`, async () => {
      if (this.text.slice(before).includes('Server is ready')) return true;
      const hasEnded = await Promise.race([ended, Promise.resolve(false)]);
      if (hasEnded) throw new Error(`nats-server ended:\n${this.text.slice(before)}`);
      return false;
    });
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.signal(signal);
    await this.exited;
    this.child = null;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.child?.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
  }
}

function create(owner: Owner, name: string, port: number, options: NatsOptions, more: string): Server {
  const directory = temporaryDirectory(owner, 'metricsstream-nats-');
  const storeDir = options.storeDir ?? join(memoryDirectory(owner), 'jetstream');
  const configPath = join(directory, 'nats.conf');
  const settings = `store_dir: "${storeDir}", max_file_store: ${FILE_STORE_MAX_BYTES}`;
  const jetStream = options.jetStream === false ? '' : `jetstream { ${settings} }\n`;
  writeFileSync(
    configPath,
    `server_name: ${name}\nhost: ${options.host ?? '127.0.0.1'}\nport: ${port}\n${jetStream}${more}${options.config ?? ''}\n`,
  );
  const server = new Server(name, port, storeDir, configPath);
  onEnd(owner, () => server.kill());
  // The test's process may end before its clean-ups run.
  process.once('exit', () => server.signal('SIGKILL'));
  return server;
}

/** A started server, and the address of its default stream. */
export async function startNats(
  owner: Owner,
  options: NatsOptions = {},
): Promise<NatsServer & { readonly url: string }> {
  const port = await freePort();
  const server = create(owner, 'single', port, options, '');
  await server.start();
  return Object.assign(server, { url: `nats://127.0.0.1:${port}` });
}

export interface NatsCluster {
  readonly servers: readonly NatsServer[];
  readonly url: string;
  /** The server that leads the stream now. */
  leader(stream: string): Promise<NatsServer>;
}

export async function startNatsCluster(owner: Owner): Promise<NatsCluster> {
  const ports = await Promise.all(Array.from({ length: 2 * CLUSTER_SIZE }, freePort));
  const clients = ports.slice(0, CLUSTER_SIZE);
  const routes = ports.slice(CLUSTER_SIZE);
  const all = routes.map((port) => `nats://127.0.0.1:${port}`).join(', ');
  const servers = clients.map((port, k) =>
    create(
      owner,
      `node${k}`,
      port,
      {},
      `cluster { name: test, host: 127.0.0.1, port: ${routes[k]}, routes: [${all}] }\n`,
    ),
  );
  await Promise.all(servers.map((server) => server.start()));
  const url = `nats://${clients.map((port) => `127.0.0.1:${port}`).join(',')}`;
  const cluster: NatsCluster = {
    servers,
    url,
    leader: async (stream) => {
      let leader: string | undefined;
      await withJetStream(url, async (jsm) => {
        await eventually(`${stream} has a leader`, async () => {
          leader = await jsm.streams.info(stream).then(
            ({ cluster }) => cluster?.leader,
            () => undefined,
          );
          return leader !== undefined;
        });
      });
      return servers.find(({ name }) => name === leader)!;
    },
  };
  // Two servers elect the leader of JetStream's own metadata; a stream of three replicas needs the third one, too.
  await withJetStream(url, async (jsm) => {
    const probe = { name: 'PROBE', subjects: ['probe'], num_replicas: CLUSTER_SIZE };
    const works = (request: Promise<unknown>) =>
      request.then(
        () => true,
        () => false,
      );
    await eventually('JetStream has all its servers', () => works(jsm.streams.add(probe)));
    // An answer to a deletion may be lost, too.
    await eventually('the probe is gone', async () => {
      await works(jsm.streams.delete(probe.name));
      return !(await works(jsm.streams.info(probe.name)));
    });
  });
  return cluster;
}

/** A cluster without a leader never answers some requests: asking again is what helps. */
const CLUSTER_API_TIMEOUT_MS = 5_000;

/** Runs `use` with a connection of its own. */
export async function withJetStream<T>(
  url: string,
  use: (jsm: JetStreamManager, connection: NatsConnection) => Promise<T>,
): Promise<T> {
  const servers = url.replace(/^nats:\/\//, '').split(',');
  const connection = await connect({ servers, maxReconnectAttempts: -1, timeout: EVENT_TIMEOUT_MS });
  // A single server elects nothing, so it answers as soon as its disk does.
  const timeout = servers.length > 1 ? CLUSTER_API_TIMEOUT_MS : EVENT_TIMEOUT_MS;
  try {
    const jsm = await jetstreamManager(connection, { checkAPI: false, timeout });
    return await use(jsm, connection);
  } finally {
    await connection.close();
  }
}

/** Replaces the JetStream directory of a stopped server by a copy made earlier. */
export function copyDirectory(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true });
}
