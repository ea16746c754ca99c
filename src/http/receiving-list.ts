/** Exchanges whose body is still arriving, in the order of their start: the oldest is the first to time out. */
import type { Exchange } from './exchange.ts';

export class ReceivingList {
  oldest: Exchange | null = null;
  private newest: Exchange | null = null;

  add(exchange: Exchange): void {
    exchange.older = this.newest;
    if (this.newest === null) this.oldest = exchange;
    else this.newest.newer = exchange;
    this.newest = exchange;
  }

  /** Does nothing for an exchange that is not in the list. */
  remove(exchange: Exchange): void {
    if (exchange.older === null && this.oldest !== exchange) return;
    if (exchange.older === null) this.oldest = exchange.newer;
    else exchange.older.newer = exchange.newer;
    if (exchange.newer === null) this.newest = exchange.older;
    else exchange.newer.older = exchange.older;
    exchange.older = null;
    exchange.newer = null;
  }
}
