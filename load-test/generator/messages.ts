/** Messages between the main thread and the generator threads. */
import type { LoadPlan } from '../plan.ts';

/** One thread's part of the load. */
export interface GeneratorData {
  readonly plan: LoadPlan;
  readonly runId: string;
  readonly thread: number;
  readonly threads: number;
  /** Its clients: numbers `firstClient` to `firstClient + clients - 1`. */
  readonly firstClient: number;
  readonly clients: number;
  /** Port for the requests to find in the files; null if nobody watches them. */
  readonly samples: SharedArrayBuffer | null;
}

interface StartMessage {
  readonly kind: 'start';
  /** On the clock of `monotonicMs`. */
  readonly startMs: number;
}
interface StopMessage {
  readonly kind: 'stop';
}
export type ToGenerator = StartMessage | StopMessage;

/** Outcomes as indices: an answer's status as it is, and failures below the first status. */
export const FAILURE_INDEX = { timeout: 1, reset: 2, connect: 3, malformed: 4 } as const;
export const OUTCOME_SLOTS = 1_000;

/** Fate of a request, by its number in its thread: unknown until an answer tells. */
export const FATE_UNKNOWN = 0;
export const FATE_ACCEPTED = 1;
export const FATE_REFUSED = 2;

interface ConnectedMessage {
  readonly kind: 'connected';
  readonly connections: number;
}

/** Events since the previous slice. Latencies are encoded histograms. */
export interface SliceMessage {
  readonly kind: 'slice';
  readonly thread: number;
  /** 0 is the warm-up, then seconds of the measured load. */
  readonly slice: number;
  readonly seconds: number;
  readonly sent: number;
  /** Pairs of outcome index and count. */
  readonly outcomes: readonly (readonly [index: number, count: number])[];
  readonly acceptedMetrics: number;
  readonly withoutRetryAfter: number;
  /** Sends beyond the first one of a request, and answers that repeat an earlier one. */
  readonly retries: number;
  readonly replays: number;
  readonly api: Uint8Array;
  readonly service: Uint8Array;
  readonly refusal: Uint8Array;
  /** Delay of sends that had a free connection. */
  readonly delay: Uint8Array;
  readonly lateWaited: number;
  readonly lateByGenerator: number;
  readonly worstLateMs: number;
  readonly busyMs: number;
  readonly inFlight: number;
  readonly waiting: number;
}

export interface DoneMessage {
  readonly kind: 'done';
  readonly thread: number;
  /** Measured requests that were due until sending ended. */
  readonly due: number;
  readonly unsentOldestWaitMs: number;
  /** When the load had lasted its time and the last answer had come, on the clock of `monotonicMs`. */
  readonly endedMs: number;
  /** FATE_… of each request, by its number in this thread. */
  readonly fates: Uint8Array;
}

export type FromGenerator = ConnectedMessage | SliceMessage | DoneMessage;

/** Numbers of requests are unique over threads: they take turns. */
export const numberOf = (local: number, thread: number, threads: number): number => local * threads + thread;
