/** Messages of a worker thread to the main thread. */

import type { MetricObjectWithValues, MetricValue } from 'prom-client';

/** `fetching`: waits for messages. `paused`: the sink's breaker is open. `offline`: NATS does not answer. */
export type WorkerState = 'starting' | 'fetching' | 'applying' | 'paused' | 'offline' | 'stopped';

export interface BatchReport {
  readonly kind: 'batch';
  readonly messages: number;
  readonly redelivered: number;
  readonly repeated: number;
  readonly bytes: number;
  readonly lines: number;
  readonly applyMs: number;
  /** For each message: from the exporter's read of its first commit to the end of the transaction. */
  readonly queueMs: readonly number[];
  /** For each message: from its arrival in the stream to the end of the transaction. */
  readonly streamMs: readonly number[];
  /** Sequences of the messages, which the sink holds now. */
  readonly stored: readonly (readonly [log: string, sequence: number])[];
}

interface StateReport {
  readonly kind: 'state';
  readonly state: WorkerState;
  /** Messages fetched and not yet acknowledged. */
  readonly held: number;
  readonly heldBytes: number;
  /** The last error, or ''. */
  readonly error: string;
}

interface QuarantineReport {
  readonly kind: 'quarantined';
  readonly sequence: number;
  readonly reason: string;
}

/** The messages go back to the stream, because the sink did not store them. */
interface ReturnReport {
  readonly kind: 'returned';
  readonly messages: number;
  readonly error: string;
  readonly delayMs: number;
}

interface LogReport {
  readonly kind: 'log';
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Metrics of the sink in this thread. */
export interface MetricsReport {
  readonly kind: 'metrics';
  readonly metrics: MetricObjectWithValues<MetricValue<string>>[];
}

export type WorkerReport =
  | LogReport
  | MetricsReport
  | BatchReport
  | StateReport
  | QuarantineReport
  | ReturnReport;
