/** Runs `metricsstream consume`. */
import { jetstreamManager } from '@nats-io/jetstream';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { MetricsStreamError } from '../base/errors.ts';
import { createLogger } from '../base/log.ts';
import { LogOutput } from '../base/log-output.ts';
import { ApplyError } from '../consume/applier.ts';
import { type ConsumerOptions, StreamConsumer } from '../consume/consumer.ts';
import { ConsumeMetrics } from '../consume/metrics.ts';
import { PostgresApplier } from '../consume/postgres-applier.ts';
import { retryQuarantine } from '../consume/quarantine.ts';
import { SinkError } from '../export/sink.ts';
import { parseNatsAddress } from '../nats/address.ts';
import { openNats } from '../nats/connect.ts';
import { isPermanent, natsErrorText } from '../nats/errors.ts';
import { natsFilesOf } from './nats-kind.ts';
import { printError } from './output.ts';
import { postgresOptionsOf, postgresUrl } from './postgres-kind.ts';
import { exposeProcess, stopOnSignal } from './process.ts';
import type { ProcessFlags } from './process-options.ts';

const LOG_END_MS = 1_000;
/** JetStream's rule for names of consumers. */
const DURABLE = /^[A-Za-z0-9_-]{1,64}$/;
/** Of one worker: one transaction, and one connection for new series beside it. */
const CONNECTIONS = 2;

/** As commander parses them. */
interface ConsumeFlags extends ProcessFlags {
  readonly [flag: string]: unknown;
  readonly from: string;
  readonly to: string;
  readonly workers: number;
  readonly durable: string;
  readonly batchBytes: number;
  readonly heldBytes: number;
  readonly ackWait: number;
  readonly retryQuarantine: boolean;
}

/** @returns the exit code */
export async function consumeAction(flags: ConsumeFlags): Promise<number> {
  const options = optionsOf(flags);
  await checkSink(options);
  if (flags.retryQuarantine) return retry(options);
  const output = new LogOutput(null);
  const logger = createLogger(flags.logLevel, output, false);
  const metrics = new ConsumeMetrics();
  const consumer = new StreamConsumer(options, logger, metrics);
  const server = await exposeProcess(flags, metrics, consumer, logger);
  try {
    await consumer.run(stopOnSignal(logger, 'the batches in progress'));
    logger.info('stopped: what was not acknowledged is delivered again');
    return 0;
  } finally {
    server?.close();
    await output.end(LOG_END_MS);
  }
}

function optionsOf(flags: ConsumeFlags): ConsumerOptions {
  const { from, to, durable, workers, batchBytes, heldBytes, ackWait: ackWaitMs } = flags;
  if (!DURABLE.test(durable)) {
    throw new MetricsStreamError('CONFIG_INVALID', '--durable: use letters, digits, _ and -, at most 64');
  }
  const postgres = postgresOptionsOf(flags);
  if (postgres.synchronousCommit === 'off') {
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      '--synchronous-commit off: consume acknowledges a message once the database has synced it; leave it on',
    );
  }
  return {
    address: parseNatsAddress(from, '--from'),
    files: natsFilesOf(flags),
    ...{ durable, workers, batchBytes, heldBytes, ackWaitMs, to: postgresUrl(to).href },
    postgres: { ...postgres, pool: CONNECTIONS },
  };
}

/** An error that only a person can correct ends the command at once. A database that is away does not. */
async function checkSink(options: ConsumerOptions): Promise<void> {
  const applier = applierOf(options);
  try {
    await applier.connect();
  } catch (error) {
    if (!(error instanceof ApplyError) || error.verdict === 'retry') return;
    throw new SinkError('fatal', error.message, { cause: error });
  } finally {
    await applier.close();
  }
}

function applierOf({ to, postgres }: ConsumerOptions): PostgresApplier {
  const logger = pino({ level: 'silent' });
  return new PostgresApplier({ url: new URL(to), options: postgres, logger, registry: new Registry() });
}

async function retry(options: ConsumerOptions): Promise<number> {
  const { address, files } = options;
  const link = await openNats(address, files, 'metricsstream consume --retry-quarantine');
  const applier = applierOf(options);
  try {
    const jsm = await jetstreamManager(link.connection, { checkAPI: false });
    const { applied, kept } = await retryQuarantine(jsm, address.stream, applier);
    for (const line of kept) printError(line);
    process.stdout.write(`stored ${applied} messages; ${kept.length} stay in the quarantine\n`);
    return kept.length === 0 ? 0 : 1;
  } catch (error) {
    if (error instanceof ApplyError) throw new SinkError('fatal', error.message, { cause: error });
    throw new SinkError(isPermanent(error) ? 'fatal' : 'retry', natsErrorText(error, address), {
      cause: error,
    });
  } finally {
    await applier.close();
    await link.close();
  }
}
