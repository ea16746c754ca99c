/** Messages of a worker thread to the main thread. */

import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import type { Extent } from '../nats/message.ts';

/** `fetching`: waits for messages. `paused`: the sink's breaker is open. `offline`: NATS does not answer. */
export type WorkerState = 'starting' | 'fetching' | 'applying' | 'paused' | 'offline' | 'stopped';

/** A message that the sink or the quarantine holds now. */
export interface StoredMessage extends Extent {
  readonly sequence: number;
  /** Of the body. */
  readonly bytes: number;
  /** When the stream stored it, in Unix ms. */
  readonly atMs: number;
}

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
  /** The messages, without those that came over an earlier connection to NATS. */
  readonly stored: readonly StoredMessage[];
}

export interface StateReport {
  readonly kind: 'state';
  readonly state: WorkerState;
  /** Messages fetched and not yet acknowledged. */
  readonly held: number;
  readonly heldBytes: number;
  /** Why the stream gave this worker nothing the last time, or ''. */
  readonly error: string;
}

/** The sink refused a connection or a batch. It works again with the next batch of any worker. */
interface SinkFailureReport {
  readonly kind: 'sink failed';
  readonly error: string;
}

interface QuarantineReport {
  readonly kind: 'quarantined';
  readonly sequence: number;
  readonly reason: string;
  /** The message, if its headers name its log. */
  readonly stored: readonly StoredMessage[];
}

/** A message that belongs into the quarantine, and does not get there. */
interface QuarantineFailureReport {
  readonly kind: 'quarantine failed';
  readonly error: string;
}

/** The messages go back to the stream, because nothing stored them. */
interface ReturnReport {
  readonly kind: 'returned';
  readonly messages: number;
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
  | SinkFailureReport
  | QuarantineReport
  | QuarantineFailureReport
  | ReturnReport;
