/**
 * A model of the server under load, in virtual time: workers that admit open-loop arrivals into their rings, and a
 * writer that commits what is published in groups. Deterministic: the seed decides arrivals and noise.
 */
import { CommitCost } from '../../src/writer/commit-cost.ts';

/** The writer's bound of a group. */
const COMMIT_BYTES = 4 << 20;
const TURN_MS = 0.5;

/** A storage whose commits take a + b·bytes, and never less than a minimum. */
export interface Storage {
  readonly fixedMs: number;
  readonly msPerMib: number;
  readonly leastMs?: number;
  /** Of some commits, in which it stalls for so long in addition. */
  readonly stalls?: { readonly share: number; readonly ms: number };
}

export interface Scenario {
  /** What storage is like from a time on, in order. */
  readonly storage: (nowMs: number) => Storage;
  readonly workers: number;
  readonly ringBytes: number;
  readonly queueTasks: number;
  readonly requestBytes: number;
  /** Bytes that arrive a second, in all workers. */
  readonly arrivals: (nowMs: number) => number;
  readonly durationMs: number;
  /** Figures are of requests that arrive from here on. */
  readonly measureFromMs: number;
  /** Standard deviation of a commit's time, as a share of it. */
  readonly noise: number;
  readonly seed: number;
}

/** How one worker decides; told what the real one is told. */
export interface Admitting {
  admits(usedBytes: number, tasks: number, nowMs: number): boolean;
  handedOver(cursor: number, depthBytes: number, nowMs: number): void;
  stored(
    storedCursor: number,
    storedMs: number,
    fixedMs: number,
    shareBytesPerMs: number,
    nowMs: number,
  ): void;
}

export interface Figures {
  readonly goodputBytes: number;
  readonly offeredBytes: number;
  readonly refused: number;
  readonly admitted: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
  /** Goodput of the worst worker as a share of the mean. */
  readonly fairness: number;
}

export function randomOf(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

class Worker {
  readonly admitting: Admitting;
  usedBytes = 0;
  publishedBytes = 0;
  cursor = 0;
  takenCursor = 0;
  nextArrivalMs = 0;
  storedBytes = 0;
  readonly tasks: { readonly cursor: number; readonly bytes: number; readonly arrivedMs: number }[] = [];
  firstTask = 0;

  constructor(admitting: Admitting) {
    this.admitting = admitting;
  }
}

export function simulate(scenario: Scenario, open: (ringBytes: number) => Admitting): Figures {
  const { workers: count, ringBytes, queueTasks, requestBytes, durationMs, measureFromMs } = scenario;
  const random = randomOf(scenario.seed);
  const workers = Array.from({ length: count }, () => new Worker(open(ringBytes)));
  const cost = new CommitCost();
  const delaysMs: number[] = [];
  let refused = 0;
  let offered = 0;
  let groupEndsMs = Number.POSITIVE_INFINITY;
  let groupStartMs = 0;
  let groupBytes = 0;

  const gaussian = () => random() + random() + random() + random() - 2;

  const admitArrivals = (worker: Worker, nowMs: number): void => {
    const meanMs = (1e3 * requestBytes * count) / scenario.arrivals(nowMs);
    while (worker.nextArrivalMs <= nowMs) {
      const arrivedMs = worker.nextArrivalMs;
      worker.nextArrivalMs += -Math.log(1 - random()) * meanMs;
      const measured = arrivedMs >= measureFromMs;
      if (measured) offered++;
      const tasks = worker.tasks.length - worker.firstTask;
      const fits = worker.usedBytes + requestBytes <= ringBytes && tasks < queueTasks;
      if (!fits || !worker.admitting.admits(worker.usedBytes, tasks, nowMs)) {
        if (measured) refused++;
        continue;
      }
      worker.usedBytes += requestBytes;
      worker.cursor = (worker.cursor + requestBytes) | 0;
      worker.tasks.push({ cursor: worker.cursor, bytes: requestBytes, arrivedMs });
    }
  };

  const publish = (worker: Worker, nowMs: number): void => {
    const publishedCursor = (worker.takenCursor + worker.publishedBytes) | 0;
    const bytes = (worker.cursor - publishedCursor) | 0;
    if (bytes === 0) return;
    worker.publishedBytes += bytes;
    worker.admitting.handedOver(worker.cursor, worker.usedBytes, nowMs);
  };

  const settle = (worker: Worker, endMs: number, nowMs: number): void => {
    const { tasks } = worker;
    while (worker.firstTask < tasks.length) {
      const task = tasks[worker.firstTask]!;
      if (((worker.takenCursor - task.cursor) | 0) < 0) break;
      worker.firstTask++;
      worker.usedBytes -= task.bytes;
      if (task.arrivedMs < measureFromMs) continue;
      delaysMs.push(nowMs - task.arrivedMs);
      worker.storedBytes += task.bytes;
    }
    if (worker.firstTask > 4096) tasks.splice(0, worker.firstTask);
    if (tasks.length < worker.firstTask) worker.firstTask = 0;
    worker.admitting.stored(worker.takenCursor, endMs, cost.fixedMs, cost.bytesPerMs / count, nowMs);
  };

  let firstWorker = 0;
  const take = (nowMs: number): void => {
    groupBytes = 0;
    for (let k = 0; k < count && groupBytes < COMMIT_BYTES; k++) {
      const worker = workers[(firstWorker + k) % count]!;
      const most = Math.ceil((COMMIT_BYTES - groupBytes) / requestBytes) * requestBytes;
      const bytes = Math.min(worker.publishedBytes, most);
      worker.publishedBytes -= bytes;
      worker.takenCursor = (worker.takenCursor + bytes) | 0;
      groupBytes += bytes;
    }
    firstWorker = (firstWorker + 1) % count;
    if (groupBytes === 0) return;
    const { fixedMs, msPerMib, leastMs = 0, stalls } = scenario.storage(nowMs);
    const plainMs = Math.max(leastMs, fixedMs + (msPerMib * groupBytes) / 2 ** 20);
    const stallMs = stalls !== undefined && random() < stalls.share ? stalls.ms : 0;
    const ms = plainMs * Math.max(0.2, 1 + scenario.noise * 1.73 * gaussian()) + stallMs;
    groupStartMs = nowMs;
    groupEndsMs = nowMs + ms;
  };

  for (let nowMs = 0; nowMs < durationMs; nowMs += TURN_MS) {
    if (groupEndsMs <= nowMs) {
      const endMs = groupEndsMs;
      cost.add(groupBytes, endMs - groupStartMs);
      groupEndsMs = Number.POSITIVE_INFINITY;
      const released = workers.map((worker) => worker.takenCursor);
      take(endMs);
      workers.forEach((worker, k) => {
        const taken = worker.takenCursor;
        worker.takenCursor = released[k]!;
        settle(worker, endMs, nowMs);
        worker.takenCursor = taken;
      });
    }
    for (const worker of workers) {
      admitArrivals(worker, nowMs);
      publish(worker, nowMs);
    }
    if (groupEndsMs === Number.POSITIVE_INFINITY) take(nowMs);
  }
  delaysMs.sort((a, b) => a - b);
  const at = (part: number) => delaysMs[Math.floor((delaysMs.length - 1) * part)] ?? 0;
  const stored = workers.map((worker) => worker.storedBytes);
  const total = stored.reduce((sum, bytes) => sum + bytes, 0);
  const seconds = (durationMs - measureFromMs) / 1e3;
  return {
    goodputBytes: total / seconds,
    offeredBytes: (offered * requestBytes) / seconds,
    refused,
    admitted: delaysMs.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    mostMs: at(1),
    fairness: total === 0 ? 1 : (Math.min(...stored) * count) / total,
  };
}

/** Bytes a second that a storage takes in full groups. */
export function peakBytes({ fixedMs, msPerMib }: Storage): number {
  return (1e3 * COMMIT_BYTES) / (fixedMs + (msPerMib * COMMIT_BYTES) / 2 ** 20);
}
