/**
 * The servers that `--peers` compares: how each is started, fed and asked what it kept. Configurations are what
 * Debian's packages give, changed only where the default would be unfair to the peer or unsafe here.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SERVER_CORE, SERVER_LABELS, type ServerName, serverArgs } from './cell.ts';
import { type Child, freePort, startChild, startProgram } from './child.ts';
import {
  type Encoding,
  INFLUX_LINES,
  JSON_LINES,
  METRICS_JSON,
  PROMETHEUS_TEXT,
  prometheusName,
} from './encodings.ts';
import { fileStorage, influxStorage, type Storage, victoriaMetricsStorage } from './storage.ts';

export const CONTENDERS = [
  'written',
  'synced',
  'fastify',
  'vm-json',
  'vm-influx',
  'vm-prometheus',
  'influxdb',
] as const;
export type ContenderName = (typeof CONTENDERS)[number];

/** Where a peer comes from. */
interface Package {
  readonly program: string;
  readonly debianPackage: string;
}

export interface Contender {
  readonly name: ContenderName;
  readonly label: string;
  readonly encoding: Encoding;
  /** That metrics are posted to, with its query. */
  readonly path: string;
  /** Absent for what is in this project. */
  readonly from?: Package;
  /** Longer than its background timers: quiet for so long, it has written all it will write. */
  readonly quietMs: number;
  /** Load before a kill: long enough that some of it has outlived those timers. */
  readonly killSeconds: number;
  readonly acknowledgement: string;
  /** How it is run, for the report; `DIR` and `PORT` in place of what changes. */
  readonly configuration: string;
  /** Resolves when it takes metrics. Starts on what an earlier process left in the directory, too. */
  start(dataDir: string): Promise<Child>;
  storage(child: Child, dataDir: string): Storage;
  /** What it makes of a metric's name. */
  storedName(name: string): string;
}

/** Go is told, too, that it has one core. */
const ONE_CORE = { GOMAXPROCS: '1' } as const;
const FILES_QUIET_MS = 2_000;
const FILES_KILL_SECONDS = 4;

function ownContender(
  name: ContenderName & ServerName,
  texts: Pick<Contender, 'acknowledgement' | 'configuration'>,
): Contender {
  return {
    name,
    label: SERVER_LABELS[name],
    encoding: METRICS_JSON,
    path: '/metrics',
    quietMs: FILES_QUIET_MS,
    killSeconds: FILES_KILL_SECONDS,
    ...texts,
    start: (dataDir) => startChild(serverArgs(name, dataDir), SERVER_CORE),
    storage: (_child, dataDir) => fileStorage(dataDir),
    storedName: (stored) => stored,
  };
}

const METRICS_STREAM_FLAGS =
  'serve --port 0 --data-dir DIR --workers 1 --rate-limit 1000000000: one worker, since there is one core; the ' +
  'request limit high rather than off, so that its cost is paid';

const VICTORIA_METRICS: Package = { program: 'victoria-metrics', debianPackage: 'victoria-metrics' };
/** Rows become an in-memory part within 1 s; every 5 s those parts go to files that are older than 5 s. */
const VICTORIA_METRICS_QUIET_MS = 11_000;
const VICTORIA_METRICS_KILL_SECONDS = 15;

function victoriaMetrics(
  name: ContenderName,
  encoding: Encoding,
  path: string,
  storedName: (name: string) => string,
): Contender {
  return {
    name,
    label: `VictoriaMetrics, ${encoding.title}`,
    encoding,
    path,
    from: VICTORIA_METRICS,
    quietMs: VICTORIA_METRICS_QUIET_MS,
    killSeconds: VICTORIA_METRICS_KILL_SECONDS,
    acknowledgement: "parsed and in the process's memory; files are written in the background",
    configuration:
      '`victoria-metrics -storageDataPath=DIR -httpListenAddr=127.0.0.1:PORT`, GOMAXPROCS=1: all else as the ' +
      'package has it. It keeps a month, and the timestamps sent are of the last day; it neither logs requests nor ' +
      'reports usage.',
    start: async (dataDir) => {
      const port = await freePort();
      const command = [VICTORIA_METRICS.program, `-storageDataPath=${dataDir}`];
      command.push(`-httpListenAddr=127.0.0.1:${port}`);
      return startProgram({ command, core: SERVER_CORE, env: ONE_CORE, port, readyPath: '/health' });
    },
    storage: ({ port }) => victoriaMetricsStorage(port),
    storedName,
  };
}

const INFLUXDB: Package = { program: 'influxd', debianPackage: 'influxdb' };
const INFLUX_DATABASE = 'bench';
const INFLUX_COLD_SECONDS = 4;
const INFLUX_QUIET_MS = 6_000;
const INFLUX_KILL_SECONDS = 6;

function influxConfiguration(dataDir: string, httpPort: number | string, rpcPort: number | string): string {
  return `reporting-enabled = false
bind-address = "127.0.0.1:${rpcPort}"
[meta]
  dir = "${dataDir}/meta"
[data]
  dir = "${dataDir}/data"
  wal-dir = "${dataDir}/wal"
  max-series-per-database = 0
  max-values-per-tag = 0
  cache-snapshot-write-cold-duration = "${INFLUX_COLD_SECONDS}s"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${httpPort}"
  log-enabled = false
`;
}

const influxdb: Contender = {
  name: 'influxdb',
  label: `InfluxDB 1.6, ${INFLUX_LINES.title}`,
  encoding: INFLUX_LINES,
  path: `/write?db=${INFLUX_DATABASE}&precision=ms`,
  from: INFLUXDB,
  quietMs: INFLUX_QUIET_MS,
  killSeconds: INFLUX_KILL_SECONDS,
  acknowledgement: 'in its write-ahead log, and the log synced',
  configuration:
    "`influxd -config FILE`, GOMAXPROCS=1; usage reports off as in the package's file. Changed: loopback only, no " +
    'log line for each request, no limits on series and tag values, no statistics about itself stored, and its ' +
    `cache compressed after ${INFLUX_COLD_SECONDS} s without writes instead of 10 minutes, so that a short run ` +
    'shows the bytes that a long one would keep:\n\n' +
    `  \`\`\`toml\n${influxConfiguration('DIR', 'PORT', 'PORT').replace(/^/gm, '  ').trimEnd()}\n  \`\`\``,
  start: async (dataDir) => {
    const [port, rpcPort] = [await freePort(), await freePort()];
    const file = join(dirname(dataDir), 'influxdb.conf');
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(file, influxConfiguration(dataDir, port, rpcPort));
    const command = [INFLUXDB.program, '-config', file];
    const child = await startProgram({ command, core: SERVER_CORE, env: ONE_CORE, port, readyPath: '/ping' });
    const q = new URLSearchParams({ q: `CREATE DATABASE ${INFLUX_DATABASE}` });
    const answer = await fetch(`http://127.0.0.1:${port}/query`, { method: 'POST', body: q });
    if (answer.ok) return child;
    child.kill();
    throw new Error(`CREATE DATABASE: ${answer.status} ${await answer.text()}`);
  },
  storage: ({ port }) => influxStorage(port, INFLUX_DATABASE),
  storedName: (name) => name,
};

export const CONTENDER: Readonly<Record<ContenderName, Contender>> = {
  written: ownContender('written', {
    acknowledgement: 'the whole request is written to the file',
    configuration: `\`${METRICS_STREAM_FLAGS.replace(':', ' --ack written`:')}.`,
  }),
  synced: ownContender('synced', {
    acknowledgement: 'the whole request is written to the file, and `fdatasync` returned',
    configuration: `\`${METRICS_STREAM_FLAGS.replace(':', ' --ack synced`:')}.`,
  }),
  fastify: ownContender('fastify', {
    acknowledgement: "handed to a stream in the process's memory, written soon after",
    configuration:
      '`bench/peers/fastify.ts`: JSON schema, `@fastify/rate-limit` set high, lines appended through a stream.',
  }),
  'vm-json': victoriaMetrics('vm-json', JSON_LINES, '/api/v1/import', (name) => name),
  // The value's field goes into the name.
  'vm-influx': victoriaMetrics('vm-influx', INFLUX_LINES, '/write?precision=ms', (name) => `${name}_value`),
  'vm-prometheus': victoriaMetrics(
    'vm-prometheus',
    PROMETHEUS_TEXT,
    '/api/v1/import/prometheus',
    prometheusName,
  ),
  influxdb,
};
