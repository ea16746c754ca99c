/**
 * A process of its own for one number of locks: four threads that stay for all rounds, and the table they charge.
 * `crew.js LOCKS`, forked. Answers a CrewRound with its CrewFigures.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { serveRounds } from '../harness/forks.ts';
import { sum as sumOf } from '../statistics.ts';
import {
  CLIENTS,
  type Clients,
  KEY_BYTES,
  keysFor,
  limiterFor,
  MANY,
  NEVER_REFUSING,
  THREADS_MAX,
  tableFor,
} from './cases.ts';
import type { ChargeJob, ChargeOutcome } from './charger.ts';

export interface CrewRound {
  readonly clients: Clients;
  readonly threads: number;
  /** By each thread. */
  readonly charges: number;
}

export type CrewFigures = Awaited<ReturnType<typeof timeRound>>;

/** Time advances by this much per call: 10,000 charges a second, the default limit. */
const STEP_MS = 0.1;

const locks = Number(process.argv[2]);
const { readCensus } = limiterFor(locks);
const crew = Array.from({ length: THREADS_MAX }, () => new Worker(new URL('./charger.js', import.meta.url)));

type Task = Omit<ChargeJob, 'locks' | 'barrier' | 'threads' | 'firstKey'>;

/** Lets `threads` of the crew do the task at once; each begins at another place of the keys. */
async function chargeTogether(threads: number, task: Task): Promise<ChargeOutcome[]> {
  const barrier = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const keyCount = task.keys.byteLength / KEY_BYTES;
  return Promise.all(
    crew.slice(0, threads).map(async (worker, thread) => {
      const outcome = once(worker, 'message');
      const job: ChargeJob = {
        ...task,
        locks,
        barrier,
        threads,
        firstKey: (thread * keyCount) / THREADS_MAX,
      };
      worker.postMessage(job);
      return ((await outcome) as [ChargeOutcome])[0];
    }),
  );
}

const sum = (outcomes: readonly ChargeOutcome[], pick: (outcome: ChargeOutcome) => number): number =>
  sumOf(outcomes.map(pick));

/** Four threads take exactly the burst, and later exactly what came back; the table's counts agree. */
async function verifyOneClient(): Promise<void> {
  const config = { ...NEVER_REFUSING, requestRate: 1000, requestBurst: 5000 };
  const task = {
    memory: tableFor(config, locks),
    config,
    keys: keysFor('last set'),
    stepMs: 0,
    insist: true,
  };
  const charges = config.requestBurst;
  const first = await chargeTogether(THREADS_MAX, { ...task, charges, nowMs: 1e6 });
  assert.equal(
    sum(first, ({ admitted }) => admitted),
    config.requestBurst,
  );
  const later = await chargeTogether(THREADS_MAX, { ...task, charges, nowMs: 1e6 + 2500 });
  assert.equal(
    sum(later, ({ admitted }) => admitted),
    2.5 * config.requestRate,
  );
  const [usage] = readCensus(task.memory, 1).busiest;
  const all = [...first, ...later];
  assert.deepEqual(
    [usage?.allowedRequests, usage?.refusedRequests],
    [sum(all, ({ admitted }) => admitted), sum(all, ({ limited }) => limited)],
  );
}

/** Four threads over 10,000 clients: each client has one slot, and the table has counted every charge. */
async function verifyManyClients(): Promise<void> {
  const memory = tableFor(NEVER_REFUSING, locks);
  const task = { memory, config: NEVER_REFUSING, keys: keysFor('many'), stepMs: STEP_MS, insist: true };
  const charges = task.keys.byteLength / KEY_BYTES;
  await chargeTogether(THREADS_MAX, { ...task, charges, nowMs: 0 });
  const { occupied, overflowed, evictions } = readCensus(memory, 0);
  assert.deepEqual({ occupied, overflowed, evictions }, { occupied: MANY, overflowed: 0, evictions: 0 });
  assert.equal(countedIn(memory), THREADS_MAX * charges);
}

/** All charges that the table has counted as allowed. */
const countedIn = (memory: SharedArrayBuffer): number =>
  sumOf(readCensus(memory, MANY).busiest.map(({ allowedRequests }) => allowedRequests));

interface Bench {
  readonly memory: SharedArrayBuffer;
  readonly keys: SharedArrayBuffer;
  /** Charges that the table must have counted by now. */
  admitted: number;
  nowMs: number;
}

function benchFor(clients: Clients): Bench {
  return { memory: tableFor(NEVER_REFUSING, locks), keys: keysFor(clients), admitted: 0, nowMs: 0 };
}

const benches = new Map<Clients, Bench>(CLIENTS.map((clients) => [clients, benchFor(clients)]));

async function timeRound({ clients, threads, charges }: CrewRound) {
  const bench = benches.get(clients)!;
  const { memory, keys, nowMs } = bench;
  const task = { memory, keys, nowMs, config: NEVER_REFUSING, stepMs: STEP_MS, charges, insist: false };
  const cpu = process.cpuUsage();
  const outcomes = await chargeTogether(threads, task);
  const { user, system } = process.cpuUsage(cpu);
  const made = threads * charges;
  const admitted = sum(outcomes, (outcome) => outcome.admitted);
  const busy = sum(outcomes, (outcome) => outcome.busy);
  assert.equal(admitted + busy, made, 'nothing was refused');
  bench.admitted += admitted;
  bench.nowMs += charges * STEP_MS;
  assert.equal(countedIn(memory), bench.admitted, 'the table has counted every charge once');
  const elapsedMs =
    Math.max(...outcomes.map(({ endMs }) => endMs)) - Math.min(...outcomes.map(({ startMs }) => startMs));
  return {
    /** Wall time of a charge in its thread, mean over threads. */
    wallNs: (sum(outcomes, ({ startMs, endMs }) => endMs - startMs) * 1e6) / made,
    cpuNs: ((user + system) * 1e3) / made,
    /** Charges that were decided, of all threads, a second from the first start to the last end. */
    perSecond: (admitted * 1e3) / elapsedMs,
    /** CPU time over wall time: how many cores the round really had. */
    cores: (user + system) / 1e3 / elapsedMs,
    /** Shares of all charges. */
    contended: sum(outcomes, ({ contended }) => contended) / made,
    slept: sum(outcomes, ({ slept }) => slept) / made,
    busy: busy / made,
  };
}

await Promise.all(crew.map((worker) => once(worker, 'online')));
await verifyOneClient();
await verifyManyClients();
serveRounds(timeRound);
