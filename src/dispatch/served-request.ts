/** Messages between the accepting thread and a request's own thread. */
import type { BodyFormat } from '../parser/parser.ts';
import type { Status } from '../telemetry/counters.ts';

/** A request whose body is complete. */
export interface ServedRequest {
  readonly body: Uint8Array;
  readonly format: BodyFormat;
  readonly strict: boolean;
  readonly clientKey: Uint8Array;
  readonly clientClass: number;
  readonly idempotencyKey: string;
  /** A compressed body was charged before it was decompressed; the rest is what the limiter said then. */
  readonly isCharged: boolean;
  readonly clientHash: number;
  readonly remaining: number;
  readonly limitNs: number;
  readonly startedMs: number;
  readonly receivedMs: number;
}

/** A prepared response; its members are those of `Exchange`. */
export interface RequestAnswer {
  readonly status: Status;
  readonly head: string;
  readonly body: string;
  readonly close: boolean;
}
