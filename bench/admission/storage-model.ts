/**
 * A model of the server under load, in virtual time: workers that admit open-loop arrivals into their rings, and a
 * writer that commits what is published in groups. Deterministic: the seed decides arrivals and noise.
 */
import { xorshift32 } from '../../load-test/generator/sample-metrics.ts';
import { CommitCost } from '../../src/writer/commit-cost.ts';
import { mean, quantile, sum } from '../statistics.ts';

/** The writer's bound of a group. */
const COMMIT_BYTES = 4 << 20;
const TURN_MS = 0.5;
/** Settled tasks are forgotten so many at a time. */
const TASKS_FORGOTTEN = 4_096;

/** A storage whose commits take a + b·bytes, and never less than a minimum. */
export interface Storage {
  readonly fixedMs: number;
  readonly msPerMib: number;
  readonly leastMs?: number;
}

export interface Scenario {
  /** The properties of storage from a time on, in order. */
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

/** How one worker decides. It learns what the real one learns, and how many requests wait. */
export interface Admitting {
  admits(usedBytes: number, tasks: number, nowMs: number): boolean;
  /** The worker has published everything up to `cursor`; `depthBytes` are in flight, this included. */
  handedOver(cursor: number, depthBytes: number, nowMs: number): void;
  /** Storage passed `storedCursor` at `storedMs`; the rest is what a commit costs, and this worker's share. */
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
  readonly refused: number;
  readonly admitted: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Goodput of the worst worker as a share of the mean. */
  readonly fairness: number;
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

  forgetSettled(): void {
    if (this.firstTask < TASKS_FORGOTTEN) return;
    this.tasks.splice(0, this.firstTask);
    this.firstTask = 0;
  }
}

const published = ({ takenCursor, publishedBytes }: Worker): number => (takenCursor + publishedBytes) | 0;

class Simulation {
  private readonly scenario: Scenario;
  private readonly random: () => number;
  private readonly workers: readonly Worker[];
  private readonly cost = new CommitCost();
  private readonly delaysMs: number[] = [];
  private refused = 0;
  /** The worker whose runs a group takes first; they take turns. */
  private firstWorker = 0;
  private group = { startMs: 0, endMs: Number.POSITIVE_INFINITY, bytes: 0 };

  constructor(scenario: Scenario, open: (ringBytes: number) => Admitting) {
    this.scenario = scenario;
    this.random = xorshift32(scenario.seed);
    this.workers = Array.from({ length: scenario.workers }, () => new Worker(open(scenario.ringBytes)));
  }

  run(): Figures {
    for (let nowMs = 0; nowMs < this.scenario.durationMs; nowMs += TURN_MS) {
      if (this.group.endMs <= nowMs) this.commit(nowMs);
      for (const worker of this.workers) {
        this.admitArrivals(worker, nowMs);
        this.publish(worker, nowMs);
      }
      if (this.group.endMs === Number.POSITIVE_INFINITY) this.take(nowMs);
    }
    return this.figures();
  }

  private admitArrivals(worker: Worker, nowMs: number): void {
    const { requestBytes, ringBytes, queueTasks, measureFromMs, arrivals, workers } = this.scenario;
    const meanMs = (1e3 * requestBytes * workers) / arrivals(nowMs);
    while (worker.nextArrivalMs <= nowMs) {
      const arrivedMs = worker.nextArrivalMs;
      worker.nextArrivalMs += -Math.log(1 - this.random()) * meanMs;
      const isMeasured = arrivedMs >= measureFromMs;
      const tasks = worker.tasks.length - worker.firstTask;
      const fits = worker.usedBytes + requestBytes <= ringBytes && tasks < queueTasks;
      if (!fits || !worker.admitting.admits(worker.usedBytes, tasks, nowMs)) {
        if (isMeasured) this.refused++;
        continue;
      }
      worker.usedBytes += requestBytes;
      worker.cursor = (worker.cursor + requestBytes) | 0;
      worker.tasks.push({ cursor: worker.cursor, bytes: requestBytes, arrivedMs });
    }
  }

  private publish(worker: Worker, nowMs: number): void {
    const bytes = (worker.cursor - published(worker)) | 0;
    if (bytes === 0) return;
    worker.publishedBytes += bytes;
    worker.admitting.handedOver(worker.cursor, worker.usedBytes, nowMs);
  }

  /** The group is stored; the writer takes the next at once, the workers see it in their turn. */
  private commit(nowMs: number): void {
    const { startMs, endMs, bytes } = this.group;
    this.cost.add(bytes, endMs - startMs);
    const storedCursors = this.workers.map(({ takenCursor }) => takenCursor);
    this.take(endMs);
    this.workers.forEach((worker, index) => {
      this.settle(worker, storedCursors[index]!, endMs, nowMs);
    });
  }

  private take(nowMs: number): void {
    const { workers, scenario } = this;
    let groupBytes = 0;
    for (let k = 0; k < workers.length && groupBytes < COMMIT_BYTES; k++) {
      const worker = workers[(this.firstWorker + k) % workers.length]!;
      const { requestBytes } = scenario;
      const mostBytes = Math.ceil((COMMIT_BYTES - groupBytes) / requestBytes) * requestBytes;
      const bytes = Math.min(worker.publishedBytes, mostBytes);
      worker.publishedBytes -= bytes;
      worker.takenCursor = (worker.takenCursor + bytes) | 0;
      groupBytes += bytes;
    }
    this.firstWorker = (this.firstWorker + 1) % workers.length;
    const endMs = groupBytes === 0 ? Number.POSITIVE_INFINITY : nowMs + this.commitMs(groupBytes, nowMs);
    this.group = { startMs: nowMs, endMs, bytes: groupBytes };
  }

  private commitMs(bytes: number, nowMs: number): number {
    const { random, scenario } = this;
    const { fixedMs, msPerMib, leastMs = 0 } = scenario.storage(nowMs);
    const plainMs = Math.max(leastMs, fixedMs + (msPerMib * bytes) / 2 ** 20);
    // Four uniform numbers are near enough to a normal one; their standard deviation is 1/√3.
    const deviate = Math.sqrt(3) * (random() + random() + random() + random() - 2);
    return plainMs * Math.max(0.2, 1 + scenario.noise * deviate);
  }

  private settle(worker: Worker, storedCursor: number, endMs: number, nowMs: number): void {
    const { tasks } = worker;
    while (worker.firstTask < tasks.length) {
      const task = tasks[worker.firstTask]!;
      if (((storedCursor - task.cursor) | 0) < 0) break;
      worker.firstTask++;
      worker.usedBytes -= task.bytes;
      if (task.arrivedMs < this.scenario.measureFromMs) continue;
      this.delaysMs.push(nowMs - task.arrivedMs);
      worker.storedBytes += task.bytes;
    }
    worker.forgetSettled();
    const { cost, workers } = this;
    worker.admitting.stored(storedCursor, endMs, cost.fixedMs, cost.bytesPerMs / workers.length, nowMs);
  }

  private figures(): Figures {
    const { delaysMs, scenario, workers } = this;
    delaysMs.sort((a, b) => a - b);
    const stored = workers.map(({ storedBytes }) => storedBytes);
    const seconds = (scenario.durationMs - scenario.measureFromMs) / 1e3;
    return {
      goodputBytes: sum(stored) / seconds,
      refused: this.refused,
      admitted: delaysMs.length,
      p50Ms: quantile(delaysMs, 0.5),
      p99Ms: quantile(delaysMs, 0.99),
      fairness: Math.min(...stored) / mean(stored),
    };
  }
}

/** Runs a scenario with an admission of its own for each worker, given the bytes of its ring. */
export function simulate(scenario: Scenario, open: (ringBytes: number) => Admitting): Figures {
  return new Simulation(scenario, open).run();
}

/** Bytes a second that a storage takes in full groups. */
export function peakBytes({ fixedMs, msPerMib }: Storage): number {
  return (1e3 * COMMIT_BYTES) / (fixedMs + (msPerMib * COMMIT_BYTES) / 2 ** 20);
}
