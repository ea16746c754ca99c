/**
 * Where the connections hand over complete requests. `dispatch/` implements this interface, so `http/` does not
 * know who does the work.
 */
import type { Gate } from '../admission/gate.ts';
import type { Exchange } from './exchange.ts';
import type { Outbox } from './outbox.ts';

export interface RequestSink {
  readonly gate: Gate;
  readonly outbox: Outbox;
  /** Answers the exchange, now or later, through `outbox`. Copies `body` before it returns. */
  admit(exchange: Exchange, body: Uint8Array): void;
}
