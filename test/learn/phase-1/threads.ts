/** The learner's dispatcher with request threads that answer and end when the test says so. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Bell, createBell } from '../../../src/base/bell.ts';
import { Control, createControlBlock } from '../../../src/base/control.ts';
import { Breaker, createBreakerMemory } from '../../../src/breaker/breaker.ts';
import type { Dispatcher, DispatcherParts } from '../../../src/dispatch/dispatcher.ts';
import { openDispatcher } from '../../../src/dispatch/thread-per-request.ts';
import { Exchange } from '../../../src/http/exchange.ts';
import { createCounterBlock, WORKER, WORKER_SLOTS } from '../../../src/telemetry/counters.ts';
import {
  createHistogramBlock,
  Histograms,
  WORKER_HISTOGRAM_NAMES,
} from '../../../src/telemetry/histogram.ts';
import { createSampleMemories, openRecorder } from '../../../src/telemetry/locked.ts';
import { BREAKER_DEFAULTS } from '../../support/writer-rig.ts';

/** Answers and ends on request. */
const OBEDIENT_THREAD = `
  const { parentPort } = require('node:worker_threads');
  const answer = { status: 200, head: '', body: '', close: false };
  parentPort.on('message', (word) => (word === 'answer' ? parentPort.postMessage(answer) : parentPort.close()));
`;

export class ThreadRig {
  readonly dispatcher: Dispatcher;
  readonly counters: Float64Array;
  /** Request threads in the order of their start. */
  readonly threads: { readonly lane: number; readonly worker: Worker; readonly body: Uint8Array }[];
  readonly deaths: string[];

  private constructor(dispatcher: Dispatcher, parts: Pick<ThreadRig, 'counters' | 'threads' | 'deaths'>) {
    this.dispatcher = dispatcher;
    this.counters = parts.counters;
    this.threads = parts.threads;
    this.deaths = parts.deaths;
  }

  static async open(
    requestThreads: number,
    isSettled: (lane: number) => boolean = () => true,
    threadSource: string = OBEDIENT_THREAD,
  ): Promise<ThreadRig> {
    const counters = new Float64Array(createCounterBlock(WORKER_SLOTS));
    const threads: { lane: number; worker: Worker; body: Uint8Array }[] = [];
    const deaths: string[] = [];
    const [samples] = createSampleMemories(1);
    const parts: DispatcherParts = {
      config: { requestThreads } as DispatcherParts['config'],
      control: new Control(createControlBlock()),
      breaker: new Breaker(createBreakerMemory(BREAKER_DEFAULTS)),
      bell: new Bell(createBell()),
      counters,
      histograms: new Histograms(createHistogramBlock(WORKER_HISTOGRAM_NAMES), WORKER_HISTOGRAM_NAMES),
      recorder: openRecorder(samples!),
      writerCounters: counters,
      openPipeline: () => Promise.reject(new Error('a thread for each request needs no pipeline here')),
      startRequestThread(lane, { body }) {
        const worker = new Worker(threadSource, { eval: true });
        threads.push({ lane, worker, body });
        return worker;
      },
      isSettled,
      died: (error) => deaths.push(error.message),
    };
    return new ThreadRig(await openDispatcher(parts), { counters, threads, deaths });
  }

  /** A request whose body is complete. */
  admit(body: Uint8Array = new Uint8Array(2)): Exchange {
    const exchange = new Exchange({ aborted: () => {}, received: () => {}, released: () => {} });
    exchange.status = 200;
    this.dispatcher.admit(exchange, body);
    return exchange;
  }

  /** Lets a thread answer; it goes on running. */
  async answer(index: number): Promise<void> {
    const { worker } = this.threads[index]!;
    const answered = once(worker, 'message');
    worker.postMessage('answer');
    await answered;
  }

  /** Lets a thread end. */
  async end(index: number): Promise<void> {
    const { worker } = this.threads[index]!;
    const ended = once(worker, 'exit');
    worker.postMessage('end');
    await ended;
  }

  get drainTimeouts(): number {
    return this.counters[WORKER.timeouts_drain]!;
  }
}
