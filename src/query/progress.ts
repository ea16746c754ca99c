/** How far a long query is: one line on a terminal, rewritten, and erased before the result. */
import type { DuckDBConnection } from '@duckdb/node-api';

const DELAY_MS = 1_000;
const INTERVAL_MS = 250;
const ERASE_LINE = '\r\u001b[2K';

export class ProgressLine {
  private readonly stream: NodeJS.WritableStream;
  private readonly isShown: boolean;
  private readonly startedMs = Date.now();
  private timer: NodeJS.Timeout | undefined;
  private hasText = false;

  constructor(stream: NodeJS.WritableStream, isShown: boolean) {
    this.stream = stream;
    this.isShown = isShown;
  }

  checking(done: number, all: number): void {
    this.show(`checking segment ${done} of ${all}`);
  }

  /** Shows the progress of the statement that runs on a connection. */
  follow(connection: DuckDBConnection): void {
    if (!this.isShown) return;
    this.timer = setInterval(() => {
      const { percentage, rows_processed: rows } = connection.progress;
      const share = percentage >= 0 ? `${percentage.toFixed(0)}%, ` : '';
      this.show(`${share}${rows.toLocaleString('en')} rows read`);
    }, INTERVAL_MS).unref();
  }

  private show(text: string): void {
    if (!this.isShown || Date.now() - this.startedMs < DELAY_MS) return;
    this.stream.write(`${ERASE_LINE}${text}`);
    this.hasText = true;
  }

  clear(): void {
    if (this.hasText) this.stream.write(ERASE_LINE);
    this.hasText = false;
  }

  end(): void {
    clearInterval(this.timer);
    this.clear();
  }
}
