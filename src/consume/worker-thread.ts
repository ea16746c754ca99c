/** The thread of one worker: connections of its own to NATS and to the sink. */
import { parentPort, workerData } from 'node:worker_threads';
import { jetstreamManager } from '@nats-io/jetstream';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { Backoff } from '../export/backoff.ts';
import type { PostgresOptions } from '../export/postgres/options.ts';
import { SinkError } from '../export/sink.ts';
import type { NatsAddress } from '../nats/address.ts';
import { type NatsLink, openNats } from '../nats/connect.ts';
import type { NatsFiles } from '../nats/security.ts';
import { PostgresApplier } from './postgres-applier.ts';
import { SinkBreaker } from './sink-breaker.ts';
import { Worker } from './worker.ts';
import type { WorkerReport } from './worker-report.ts';

export interface WorkerThreadData {
  readonly address: NatsAddress;
  readonly files: NatsFiles;
  readonly durable: string;
  readonly workers: number;
  readonly batchBytes: number;
  /** Bytes of messages that a worker holds at most. */
  readonly heldBytes: number;
  /** The server delivers a message again if a worker does not report about it for this long. */
  readonly ackWaitMs: number;
  /** URL of the database. */
  readonly to: string;
  readonly postgres: PostgresOptions;
  readonly breaker: SharedArrayBuffer;
  readonly number: number;
}

const METRICS_MS = 1_000;

const data = workerData as WorkerThreadData;
const port = parentPort!;
const report = (message: WorkerReport): void => port.postMessage(message);

/** Sends log lines to the main thread, which writes those of all workers. */
const logger = pino(
  { level: 'debug', base: null, timestamp: false, formatters: { level: (level) => ({ level }) } },
  {
    write: (line: string) => {
      const { level, msg, ...fields } = JSON.parse(line) as Record<string, string>;
      report({ kind: 'log', level: level as 'info', fields, text: msg ?? '' });
    },
  },
);
const stop = new AbortController();
port.once('message', () => stop.abort());
const registry = new Registry();
const applier = new PostgresApplier({
  ...{ url: new URL(data.to), options: data.postgres, logger, registry },
});
const link = await connected();
const worker = new Worker({
  ...data,
  link,
  jsm: await jetstreamManager(link.connection, { checkAPI: false }),
  applier,
  breaker: new SinkBreaker(data.breaker),
  report,
});
const exposed = setInterval(async () => {
  report({ kind: 'metrics', metrics: await registry.getMetricsAsJSON() });
}, METRICS_MS);
stop.signal.addEventListener('abort', () => worker.stop());
if (stop.signal.aborted) worker.stop();
await worker.run();
clearInterval(exposed);
await applier.close();
// Sends what is still buffered: acknowledgements and refusals. Without a connection, the messages come again.
await link.drain().catch(() => {});
// After a break, the client may leave a socket behind that would keep this thread alive.
process.exit(0);

/** Main has connected a moment ago, so an error here passes. */
async function connected(): Promise<NatsLink> {
  const backoff = new Backoff();
  for (;;) {
    try {
      return await openNats(data.address, data.files, `metricsstream consume, worker ${data.number}`);
    } catch (error) {
      if (!(error instanceof SinkError) || error.verdict !== 'retry') throw error;
      if (stop.signal.aborted) process.exit(0);
      report({ kind: 'state', state: 'offline', held: 0, heldBytes: 0, error: error.message });
      await backoff.wait(backoff.next(), stop.signal);
    }
  }
}
