/** What the accepting thread and a request's own thread send each other. */
import type { BodyFormat } from '../parser/parser.ts';
import type { Status } from '../telemetry/counters.ts';

/** A request whose body is complete. */
export interface ServedRequest {
  readonly body: Uint8Array;
  readonly format: BodyFormat;
  readonly strict: boolean;
  readonly clientKey: Uint8Array;
  readonly clientClass: number;
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
