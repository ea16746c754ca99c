/** How far a load has got: one line that is rewritten on a terminal, a line every few seconds elsewhere. */
import { formatCount, formatMs } from './format.ts';
import type { OutcomeCounts, Progress } from './plan.ts';

const PLAIN_INTERVAL_MS = 5_000;
const ERASE_LINE = '\r\x1b[2K';

export function outcomesText(outcomes: OutcomeCounts): string {
  const texts = Object.entries(outcomes).map(([outcome, count]) => `${outcome}: ${formatCount(count ?? 0)}`);
  return texts.length === 0 ? 'no answers yet' : texts.join(', ');
}

function progressText(progress: Progress): string {
  const { elapsedSeconds, warmingUp, intended, sent, ratePerSecond, inFlight, waiting, p99Ms } = progress;
  if (warmingUp) return 'warming up';
  const parts = [
    `${elapsedSeconds.toFixed(0)} s`,
    `${formatCount(sent)}${intended === undefined ? '' : ` of ${formatCount(intended)}`} sent`,
    `${formatCount(ratePerSecond)}/s`,
    `${inFlight} in flight`,
    ...(waiting > 0 ? [`${formatCount(waiting)} waiting`] : []),
    `p99 ${formatMs(p99Ms)} ms`,
    outcomesText(progress.outcomes),
  ];
  return parts.join('  ');
}

export class ProgressLine {
  private readonly stream: NodeJS.WritableStream & {
    isTTY?: boolean | undefined;
    columns?: number | undefined;
  };
  private plainAtMs = 0;

  constructor(stream: NodeJS.WritableStream) {
    this.stream = stream;
  }

  readonly show = (progress: Progress): void => {
    const text = progressText(progress);
    if (this.stream.isTTY === true) {
      this.stream.write(ERASE_LINE + text.slice(0, (this.stream.columns ?? 100) - 1));
      return;
    }
    const nowMs = performance.now();
    if (nowMs - this.plainAtMs < PLAIN_INTERVAL_MS) return;
    this.plainAtMs = nowMs;
    this.stream.write(`${text}\n`);
  };

  /** Takes the line away, so that what follows stands alone. */
  end(): void {
    if (this.stream.isTTY === true) this.stream.write(ERASE_LINE);
  }
}
