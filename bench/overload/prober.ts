/**
 * Entry point of the prober: a process that sends few requests at fixed times, and notes of each what it took and how
 * much of that was its own delay. A process of its own, so that no other load's turn of the event loop is in the way.
 */
import { openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Connection,
  type ConnectionEvents,
  type Failure,
  type RequestSource,
} from '../../load-test/generator/connection.ts';
import { FAILURE_INDEX } from '../../load-test/generator/messages.ts';
import { RequestTemplate } from '../../load-test/generator/request-template.ts';
import type { ResponseReader } from '../../load-test/generator/response-reader.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { serveRounds } from '../harness/forks.ts';
import type { Probe, ProberPlan, ProberReport, ProbeStream } from './prober-messages.ts';

const HOST = '127.0.0.1';
const TIMEOUT_MS = 10_000;
const SWEEP_MS = 100;
const NS_PER_MS = 1e6;

/** Its second number: nanoseconds that this thread was ready to run and waited for a core. */
const schedstat = openSync('/proc/self/schedstat', 'r');
const statBytes = Buffer.alloc(128);

function coreWaitMs(): number {
  const length = readSync(schedstat, statBytes, 0, statBytes.length, 0);
  return Number(statBytes.toString('latin1', 0, length).split(' ')[1]) / NS_PER_MS;
}

/** Its lines `cpuN` tell how long the hypervisor kept each core from this machine, in hundredths of a second. */
const kernelStat = openSync('/proc/stat', 'r');
const kernelStatBytes = Buffer.alloc(4096);
const STEAL_FIELD = 8;
const MS_PER_TICK = 10;
/** The server's and that of its clients. */
const PINNED_CORES = 2;

/** Of the cores that are measured, since the machine started. */
function stolenMs(): number[] {
  const length = readSync(kernelStat, kernelStatBytes, 0, kernelStatBytes.length, 0);
  const lines = kernelStatBytes.toString('latin1', 0, length).match(/^cpu\d+ .*$/gm) ?? [];
  return lines.slice(0, PINNED_CORES).map((line) => Number(line.split(' ')[STEAL_FIELD]) * MS_PER_TICK);
}

/** The most that any one core lost: those that were lost at the same time held a probe up once. */
function stolenSince(before: readonly number[]): number {
  return Math.max(...stolenMs().map((ms, core) => ms - before[core]!));
}

function sourceOf({ request }: ProbeStream, port: number): RequestSource {
  const authority = `${HOST}:${port}`;
  if (request.method === 'POST') {
    const { batch, runId, headers } = request;
    const settings = { seed: 1, keepAlive: true, isKeyed: false };
    return new RequestTemplate({ authority, batch, runId, headers, ...settings });
  }
  return {
    bytes: Buffer.from(`GET ${request.path} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`),
    patch: () => {},
  };
}

class Stream implements ConnectionEvents {
  readonly probes: Probe[] = [];
  inFlight = 0;
  private readonly stepMs: number;
  private readonly free: Connection[];
  private readonly connections: readonly Connection[];
  /** Core waits at the sends of the requests under way, by connection. */
  private readonly waitsMs: number[] = [];
  private readonly stolenMs: (readonly number[])[] = [];
  private readonly waited: boolean[] = [];
  /** When last no connection was free. */
  private busyUntilMs = Number.NEGATIVE_INFINITY;
  private readonly startMs: number;
  private sent = 0;
  private timer: NodeJS.Timeout | undefined;
  private ending = false;

  constructor(stream: ProbeStream, port: number, startMs: number) {
    this.stepMs = 1e3 / stream.ratePerSecond;
    this.startMs = startMs;
    this.connections = Array.from({ length: stream.connections }, (_, index) => {
      return new Connection(index, sourceOf(stream, port), { host: HOST, port, keepAlive: true }, this);
    });
    this.free = [...this.connections];
    this.send();
  }

  private dueMs(number: number): number {
    return this.startMs + number * this.stepMs;
  }

  /** Sends what is due while connections are free, and comes again when the next one is. */
  private send(): void {
    clearTimeout(this.timer);
    if (this.ending) return;
    for (
      let nowMs = monotonicMs();
      this.free.length > 0 && this.dueMs(this.sent) <= nowMs;
      nowMs = monotonicMs()
    ) {
      const connection = this.free.shift()!;
      connection.number = this.sent++;
      connection.intendedMs = this.dueMs(connection.number);
      connection.template.patch(connection.number, false);
      this.waited[connection.index] = connection.intendedMs < this.busyUntilMs;
      this.stolenMs[connection.index] = stolenMs();
      this.waitsMs[connection.index] = coreWaitMs();
      connection.sentMs = monotonicMs();
      connection.deadlineMs = connection.sentMs + TIMEOUT_MS;
      this.inFlight++;
      connection.send();
    }
    if (this.free.length === 0) return;
    this.timer = setTimeout(() => this.send(), Math.max(0, this.dueMs(this.sent) - monotonicMs()));
  }

  answered(connection: Connection, reader: ResponseReader): void {
    const { status, hasRetryAfter } = reader;
    const isRefusal = status === 429 || status === 503;
    this.done(connection, status, isRefusal && !hasRetryAfter, Math.max(0, reader.accepted()));
  }

  failed(connection: Connection, failure: Failure): void {
    this.done(connection, FAILURE_INDEX[failure], false, 0);
  }

  private done(connection: Connection, outcome: number, lacksRetryAfter: boolean, accepted: number): void {
    const doneMs = monotonicMs();
    const { number, intendedMs, sentMs, index } = connection;
    this.probes[number] = {
      dueMs: intendedMs,
      sentMs,
      doneMs,
      waited: this.waited[index]!,
      outcome,
      lacksRetryAfter,
      accepted,
      ownDelayMs: coreWaitMs() - this.waitsMs[index]!,
      stolenMs: stolenSince(this.stolenMs[index]!),
    };
    this.inFlight--;
    if (this.free.length === 0) this.busyUntilMs = doneMs;
    this.free.push(connection);
    this.send();
  }

  sweep(nowMs: number): void {
    for (const connection of this.connections) {
      if (connection.isBusy && nowMs >= connection.deadlineMs) connection.giveUp();
    }
  }

  end(): void {
    this.ending = true;
    clearTimeout(this.timer);
  }

  close(): void {
    for (const connection of this.connections) connection.close();
  }
}

let streams: Stream[] = [];

async function end(): Promise<ProberReport> {
  for (const stream of streams) stream.end();
  while (streams.some(({ inFlight }) => inFlight > 0)) await sleep(10);
  clearInterval(sweep);
  for (const stream of streams) stream.close();
  return streams.map(({ probes }) => probes);
}

const sweep = setInterval(() => {
  for (const stream of streams) stream.sweep(monotonicMs());
}, SWEEP_MS);

/** Begins with a plan; at the end it reports. */
serveRounds((plan: ProberPlan | 'end') => {
  if (plan === 'end') return end();
  const startMs = monotonicMs();
  // They start one after the other, so that they are not due at the same moments.
  streams = plan.streams.map((stream, index) => new Stream(stream, plan.port, startMs + index * 7));
  return 'begun';
});
