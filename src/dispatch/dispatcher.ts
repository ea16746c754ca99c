/**
 * Dispatch: what becomes of a request whose body is complete. One interface, used by the thread that owns the
 * connections; implementations differ in who does the work and in what waits meanwhile.
 */
import type { Bell } from '../base/bell.ts';
import type { Control } from '../base/control.ts';
import type { Config } from '../config/load.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Answers, UnavailableReason } from '../http/outbox.ts';
import type { Pipeline } from '../pipeline.ts';
import type { Histograms } from '../telemetry/histogram.ts';
import type { RequestThreadData } from '../threads/messages.ts';

export interface Dispatcher {
  /** The receiver puts a complete body here, then calls `admit`. */
  readonly input: Uint8Array;
  /** Requests admitted and not yet answered. */
  readonly pending: number;
  /** Why nothing can be taken now, or null. Asked before a body is received and again when it is complete. */
  unavailableReason(): UnavailableReason | null;
  refuseUnavailable(exchange: Exchange, reason: UnavailableReason): void;
  /** Takes the complete body in `input[0, length)`; answers the exchange, now or later. */
  admit(exchange: Exchange, length: number): void;
  /** Answers 504 to every request that has waited too long for storage. To be called a few times a second. */
  expire(nowMs: number): void;
  /** Answers 504 to everything that waits: the process ends before storage confirms. */
  expireAll(nowMs: number): void;
}

/** What an implementation may build on; all of it belongs to the thread that owns the connections. */
export interface DispatcherParts {
  readonly config: Config;
  readonly answers: Answers;
  readonly bell: Bell;
  readonly control: Control;
  readonly histograms: Histograms;
  /** Gauges of the writer. */
  readonly writerCounters: Float64Array;
  /** For those that do the work themselves: a pipeline over this thread's journal. */
  openPipeline(): Promise<Pipeline>;
  /** For those that leave it to other threads: what each of them is started with. */
  readonly requestThreads: readonly RequestThreadData[];
  /** True when nothing that a former holder of the lane journaled is outstanding. */
  isSettled(lane: number): boolean;
  /** A thread ended that should not have: the process has to end too. */
  died(error: Error): void;
}

export interface DispatcherModule {
  /** Threads that own connections. */
  readonly acceptThreads: (config: Config) => number;
  /** Most threads that serve a request each, beside those; 0 where the accepting threads do the work. */
  readonly requestThreads: (config: Config) => number;
  /** Requests that may be admitted at once, in all threads. */
  readonly queueCapacity: (config: Config) => number;
  readonly openDispatcher: (parts: DispatcherParts) => Promise<Dispatcher>;
}
