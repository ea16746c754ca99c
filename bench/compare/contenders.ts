/**
 * The servers that `--peers` compares: how each is started, which format it gets, and how it is asked what it kept.
 * Configurations are those of Debian's packages, changed only where the default would be unfair to the peer or unsafe
 * here. docs/results/peers.md lists them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { freePort } from '../../load-test/free-port.ts';
import { type Child, SERVER_CORE, startChild, startProgram } from '../under-test/process.ts';
import { startVictoriaMetrics, VICTORIA_METRICS } from '../under-test/victoria-metrics.ts';
import { argsOf, SERVER_LABELS, type ServerName } from './cell.ts';
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
  'group-commit',
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
  /** Path and query of the requests. */
  readonly path: string;
  /** Absent for what is in this project. */
  readonly from?: Package;
  /** Longer than its background timers: a server that is quiet for so long has written everything. */
  readonly quietMs: number;
  /** Load before a kill, long enough that part of it is older than those timers. */
  readonly killSeconds: number;
  readonly acknowledgement: string;
  /** Resolves when it accepts metrics. Also starts on the directory of an earlier process. */
  start(dataDir: string): Promise<Child>;
  /** The metrics that it kept. Reading the files of a server in this project stops it. */
  storage(child: Child, dataDir: string): Storage;
  /** The name under which it stores a metric. */
  storedName(name: string): string;
}

/** Go's scheduler must also know that there is one core. */
const ONE_CORE = { GOMAXPROCS: '1' } as const;
const FILES_QUIET_MS = 2_000;
const FILES_KILL_SECONDS = 4;

function ownContender(name: ContenderName & ServerName, acknowledgement: string): Contender {
  return {
    name,
    label: SERVER_LABELS[name],
    encoding: METRICS_JSON,
    path: '/metrics',
    quietMs: FILES_QUIET_MS,
    killSeconds: FILES_KILL_SECONDS,
    acknowledgement,
    start: (dataDir) => startChild(argsOf(name, dataDir), SERVER_CORE),
    storage: (child, dataDir) => fileStorage(child, dataDir),
    storedName: (stored) => stored,
  };
}

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
    start: (dataDir) => startVictoriaMetrics(dataDir, { core: SERVER_CORE, env: ONE_CORE }),
    storage: ({ port }) => victoriaMetricsStorage(port),
    storedName,
  };
}

const INFLUXDB: Package = { program: 'influxd', debianPackage: 'influxdb' };
const INFLUX_DATABASE = 'bench';
const INFLUX_COLD_SECONDS = 4;
const INFLUX_QUIET_MS = 6_000;
const INFLUX_KILL_SECONDS = 6;

function influxConfiguration(dataDir: string, httpPort: number, rpcPort: number): string {
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
  written: ownContender('written', 'the whole request is written to the file'),
  synced: ownContender(
    'synced',
    'the whole request is on the disk: in the write-ahead log or the synced file',
  ),
  fastify: ownContender('fastify', "handed to a stream in the process's memory, written soon after"),
  'group-commit': ownContender(
    'group-commit',
    'the whole request is written to the file, and `fdatasync` returned',
  ),
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
