/** Dispatch: who handles a connection. What the server asks of any implementation. */
import type { Page } from '../transport/routes.ts';
import type { HandoverKind } from '../transport/uws.ts';

export interface Listening {
  readonly uws: string;
  readonly handover: HandoverKind;
}

export interface DispatcherEvents {
  /** Renders GET /metrics for an Accept header. */
  readonly scrape: (accept: string) => Promise<Page>;
  /** A thread ended that should not have: the process has to end too. */
  readonly died: (error: Error) => void;
}

export interface Dispatcher {
  /** Starts the threads and accepts connections; resolves when clients can connect. */
  start(): Promise<Listening>;
  /** Stops accepting, answers or refuses what is in flight, closes all connections, ends the threads. */
  drain(timeoutMs: number): Promise<void>;
  /** Answers 504 to all that waits for storage, then as `drain`: storage has failed. */
  abandon(timeoutMs: number): Promise<void>;
}
