/**
 * The memory plan: an upper estimate of what the process takes under the worst mix of bodies and batches, made before
 * anything is allocated.
 *
 * ```
 * base        code, main thread and writer, buffers of connections
 * limiter     its tables of clients
 * each thread V8 heap and stack; the parser's input, and its scratch space for keys with escapes
 * each lane   a journal ring
 * each worker one body put together, one compressed, one decompressed, and room for one more
 * bodies      --inflight-body-bytes, for all workers together
 * keys        the table of idempotency keys
 * ```
 * The constants are measured: test/e2e/memory.test.ts runs the server in a control group of 512 MiB, where a plan that is
 * too low ends in the kernel's out-of-memory killer.
 */
import { powerOfTwoAtLeast } from '../base/shared-memory.ts';
import { MIB } from '../base/units.ts';
import type { Config } from '../config/load.ts';
import { keyTableConfigOf } from '../config/slices.ts';
import type { DispatcherModule } from '../dispatch/dispatcher.ts';
import { keyTableBytes } from '../idempotency/table.ts';

const BASE_BYTES = 82.5 * MIB;
/** Of one table. The lock-free tables take the most of all implementations: sets of 16 ways for 6.5 clients each. */
const LIMITER_CLIENT_BYTES = 88;
const THREAD_BYTES = 32 * MIB;

/** Bytes of the tables of clients: one for each limit. */
export function limiterBytes({ rateLimit, metricRateLimit, limiterClients }: Config): number {
  const tables = Number(rateLimit > 0) + Number(metricRateLimit > 0);
  return tables * limiterClients * LIMITER_CLIENT_BYTES;
}

/** Bytes of the worst case. */
export function plannedBytes(config: Config, dispatch: DispatcherModule): number {
  const { journalBytes, inflightBodyBytes, maxBodyBytes } = config;
  const workers = dispatch.acceptThreads(config);
  const requestThreads = dispatch.requestThreads(config);
  const parserInput = powerOfTwoAtLeast(maxBodyBytes);
  const lanes = requestThreads || workers;
  const perThread = THREAD_BYTES + 2 * parserInput;
  const perWorker = 4 * maxBodyBytes;
  return (
    BASE_BYTES +
    limiterBytes(config) +
    (workers + requestThreads) * perThread +
    lanes * journalBytes +
    workers * perWorker +
    inflightBodyBytes +
    keyTableBytes(keyTableConfigOf(config))
  );
}
