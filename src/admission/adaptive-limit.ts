/**
 * How many bytes a worker may have in flight to storage: a window steered by the delay that storage shows, as in
 * TCP Vegas and FAST TCP (https://doi.org/10.1109/INFCOM.2004.1354670), not by losses.
 *
 * By Little's law bytes in flight = throughput × delay. A measurement is a pair: the bytes that were in flight when
 * something was handed over, and the time until it was stored. For a storage of cost a + b·bytes that pair tells what
 * depth gives the delay aimed at: depth × target / delay. So each measurement proposes a limit by itself, and one that
 * is told twice is not applied twice.
 *
 * Time is a parameter. docs/backpressure.md derives the law, and compares it with others.
 */

/** What a limit starts with, and what a higher one comes back to while there is no load. */
export const INITIAL_BYTES = 256 << 10;
/** The limit never falls below. */
export const LEAST_BYTES = 16 << 10;
/** A limit is in use, and may grow, when at least this share of it was in flight. */
const IN_USE = 0.75;
const GROW_MOST = 2;
const SHRINK_MOST = 0.25;
/**
 * How far a limit in use goes towards the worker's equal share at each measurement. Scaled by the same ratio alone,
 * the limits of several workers would drift apart and stay so.
 */
const SHARING = 0.1;
/** A limit that is not in use falls towards its goal with this time constant. */
const DECAY_MS = 5_000;
/** Delay over this share of the target is evidence that storage is loaded; without it nothing is refused. */
const EVIDENCE = 0.5;
/** The limit is in force for this many targets after the last evidence. */
const FORCE_TARGETS = 10;
/**
 * The target is at least this many fixed costs of a commit. A request waits for the commit under way, then for its
 * own: delay D = 2a + b·depth, so the share of the disk that is used is 1 − 2a/D: 80% of it needs D = 10a, and some to spare.
 */
const FIXED_COSTS = 12;
const TARGET_MOST = 20;

export class AdaptiveLimit {
  limitBytes: number;
  /** The delay aimed at: as configured, or more where a commit's fixed cost asks for it. */
  targetMs: number;
  /** The last delay measured. */
  delayMs = 0;
  private readonly configuredMs: number;
  private readonly mostBytes: number;
  private inForceUntilMs = Number.NEGATIVE_INFINITY;
  private measuredAtMs = 0;

  /** @param mostBytes the static bound: the limit does not grow past it */
  constructor(configuredMs: number, mostBytes: number) {
    this.configuredMs = configuredMs;
    this.targetMs = configuredMs;
    this.mostBytes = mostBytes;
    this.limitBytes = Math.min(INITIAL_BYTES, mostBytes);
  }

  /**
   * Whether a request may be taken while `usedBytes` are in flight. With nothing in flight one always may.
   * @param headAgeMs how long the oldest in flight has waited: a delay that is still growing, so past the target it
   * scales the limit as a measurement would
   */
  admits(usedBytes: number, headAgeMs: number, nowMs: number): boolean {
    if (headAgeMs > EVIDENCE * this.targetMs) this.inForceUntilMs = nowMs + FORCE_TARGETS * this.targetMs;
    if (nowMs >= this.inForceUntilMs) return true;
    if (headAgeMs <= this.targetMs) return usedBytes < this.limitBytes || usedBytes === 0;
    return usedBytes < Math.max(LEAST_BYTES, (this.limitBytes * this.targetMs) / headAgeMs);
  }

  /**
   * Learns from something that was stored.
   * @param delayMs from handing over to stored  @param depthBytes in flight at handing over
   * @param fixedMs what a commit costs whatever its size, as far as it is known
   * @param shareBytesPerMs what storage takes, divided by the workers
   */
  measured(
    delayMs: number,
    depthBytes: number,
    fixedMs: number,
    shareBytesPerMs: number,
    nowMs: number,
  ): void {
    const elapsedMs = Math.min(nowMs - this.measuredAtMs, DECAY_MS);
    this.measuredAtMs = nowMs;
    this.delayMs = delayMs;
    this.targetMs = Math.min(
      Math.max(this.configuredMs, FIXED_COSTS * fixedMs),
      TARGET_MOST * this.configuredMs,
    );
    if (delayMs > EVIDENCE * this.targetMs) this.inForceUntilMs = nowMs + FORCE_TARGETS * this.targetMs;
    const shareBytes = shareBytesPerMs * this.targetMs;
    const inUse = depthBytes >= IN_USE * this.limitBytes;
    this.limitBytes = this.bounded(
      inUse ? this.steered(depthBytes, shareBytes) : this.rested(depthBytes, shareBytes, elapsedMs),
    );
  }

  private steered(depthBytes: number, shareBytes: number): number {
    const ratio = this.targetMs / Math.max(this.delayMs, Number.MIN_VALUE);
    const proposedBytes = depthBytes * Math.min(Math.max(ratio, SHRINK_MOST), GROW_MOST);
    const limitBytes =
      ratio < 1 ? Math.min(this.limitBytes, proposedBytes) : Math.max(this.limitBytes, proposedBytes);
    return limitBytes + SHARING * (shareBytes - limitBytes);
  }

  /** Not in use: what it was worth under load is forgotten slowly. */
  private rested(depthBytes: number, shareBytes: number, elapsedMs: number): number {
    const { limitBytes, delayMs, targetMs } = this;
    // Others fill the storage: this worker keeps its share.
    if (delayMs > targetMs)
      return Math.min(limitBytes, Math.max((depthBytes * targetMs) / delayMs, shareBytes));
    const goalBytes = Math.max(INITIAL_BYTES, GROW_MOST * depthBytes);
    return limitBytes < goalBytes
      ? limitBytes
      : limitBytes - ((limitBytes - goalBytes) * elapsedMs) / DECAY_MS;
  }

  private bounded(bytes: number): number {
    return Math.min(Math.max(bytes, LEAST_BYTES), this.mostBytes);
  }
}
