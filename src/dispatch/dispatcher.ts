/**
 * Dispatch decides who serves a request whose body is complete. The thread that owns the connections uses this
 * interface; implementations differ in which thread works and in what waits meanwhile.
 */
import type { Worker } from 'node:worker_threads';
import type { Bell } from '../base/bell.ts';
import type { Control } from '../base/control.ts';
import type { Breaker } from '../breaker/breaker.ts';
import type { Config } from '../config/load.ts';
import type { RequestSink } from '../http/request-sink.ts';
import type { Pipeline } from '../pipeline.ts';
import type { Histograms } from '../telemetry/histogram.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import type { ServedRequest } from './served-request.ts';

export interface Dispatcher extends RequestSink {
  /** Requests admitted and not yet answered. */
  readonly pending: number;
  /** Answers 504 to every request that has waited too long for storage. Call it a few times a second. */
  expire(nowMs: number): void;
  /** Answers 504 to everything that waits, because the process ends before storage confirms. */
  expireAll(nowMs: number): void;
}

/** Parts that an implementation may use. All belong to the thread that owns the connections. */
export interface DispatcherParts {
  readonly config: Config;
  readonly control: Control;
  readonly breaker: Breaker;
  readonly bell: Bell;
  readonly counters: Float64Array;
  readonly histograms: Histograms;
  readonly recorder: Recorder;
  /** Gauges of the writer. */
  readonly writerCounters: Float64Array;
  /** A pipeline into this thread's journal, for dispatchers that do the work in this thread. */
  openPipeline(): Promise<Pipeline>;
  /** Starts a thread that serves one request in a lane, for dispatchers that use other threads. */
  startRequestThread(lane: number, request: ServedRequest): Worker;
  /** True when storage has settled everything that former holders of the lane journaled. */
  isSettled(lane: number): boolean;
  /** Reports that a thread ended unexpectedly, so the process has to end too. */
  died(error: Error): void;
}

export interface DispatcherModule {
  /** Number of threads that own connections. */
  readonly acceptThreads: (config: Config) => number;
  /** Most threads that serve one request each, besides those; 0 when the accepting threads do the work. */
  readonly requestThreads: (config: Config) => number;
  /** Requests that may be admitted at once, in all threads. */
  readonly queueCapacity: (config: Config) => number;
  readonly openDispatcher: (parts: DispatcherParts) => Promise<Dispatcher>;
}
