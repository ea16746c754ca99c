/** Counts and latencies of one thread, handed over in slices. */
import { LatencyHistogram } from '../latency.ts';
import { FATE_UNKNOWN, OUTCOME_SLOTS, type SliceMessage } from './messages.ts';

/** A send is late when it is this much behind its intended time. */
const LATE_MS = 1;

export type Recorded = Omit<
  SliceMessage,
  'kind' | 'thread' | 'slice' | 'seconds' | 'busyMs' | 'inFlight' | 'waiting'
>;

export class Recorder {
  private readonly outcomes = new Float64Array(OUTCOME_SLOTS);
  private readonly api = new LatencyHistogram();
  private readonly service = new LatencyHistogram();
  private readonly refusal = new LatencyHistogram();
  private readonly delay = new LatencyHistogram();
  private sent = 0;
  private acceptedMetrics = 0;
  private withoutRetryAfter = 0;
  private retries = 0;
  private replays = 0;
  private lateWaited = 0;
  private lateByGenerator = 0;
  private worstLateMs = 0;

  recordSend(delayMs: number, waited: boolean): void {
    this.sent++;
    if (!waited) this.delay.record(delayMs);
    if (delayMs <= LATE_MS) return;
    if (waited) this.lateWaited++;
    else this.lateByGenerator++;
    if (delayMs > this.worstLateMs) this.worstLateMs = delayMs;
  }

  recordSuccess(status: number, latencyMs: number, serviceMs: number, acceptedMetrics: number): void {
    this.outcomes[status]!++;
    this.acceptedMetrics += acceptedMetrics;
    this.api.record(latencyMs);
    this.service.record(serviceMs);
  }

  recordRefusal(status: number, latencyMs: number, lacksRetryAfter: boolean): void {
    this.outcomes[status]!++;
    if (lacksRetryAfter) this.withoutRetryAfter++;
    this.refusal.record(latencyMs);
  }

  recordFailure(index: number): void {
    this.outcomes[index]!++;
  }

  recordRetry(): void {
    this.retries++;
  }

  recordReplay(): void {
    this.replays++;
  }

  /** Everything since the last call. */
  take(): Recorded {
    const { sent, acceptedMetrics, withoutRetryAfter, retries, replays } = this;
    const { lateWaited, lateByGenerator, worstLateMs } = this;
    const outcomes = [...this.outcomes.entries()].filter(([, count]) => count > 0);
    const [api, service, refusal, delay] = [this.api, this.service, this.refusal, this.delay].map(
      (histogram) => {
        const encoded = histogram.encode();
        histogram.reset();
        return encoded;
      },
    ) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    this.outcomes.fill(0);
    this.sent = this.acceptedMetrics = this.withoutRetryAfter = this.retries = this.replays = 0;
    this.lateWaited = this.lateByGenerator = this.worstLateMs = 0;
    return {
      sent,
      outcomes,
      acceptedMetrics,
      withoutRetryAfter,
      retries,
      replays,
      api,
      service,
      refusal,
      delay,
      lateWaited,
      lateByGenerator,
      worstLateMs,
    };
  }
}

/** The outcome of each request, one byte each, for the check against the files. */
export class Fates {
  private bytes = new Uint8Array(1 << 16);
  private count = 0;

  /** Number of a new request, from 0. */
  begin(): number {
    if (this.count === this.bytes.length) {
      const larger = new Uint8Array(this.bytes.length * 2);
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes[this.count] = FATE_UNKNOWN;
    return this.count++;
  }

  settle(local: number, fate: number): void {
    this.bytes[local] = fate;
  }

  all(): Uint8Array {
    return this.bytes.slice(0, this.count);
  }
}
