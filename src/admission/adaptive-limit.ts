/**
 * Limits the bytes that a worker has in flight to storage: a window that follows the delay of storage, as in TCP Vegas
 * and FAST TCP (https://doi.org/10.1109/INFCOM.2004.1354670), not losses.
 *
 * By Little's law bytes in flight = throughput × delay. A measurement is a pair: the bytes in flight at a hand-over, and
 * the time until they were stored. For storage of cost a + b·bytes, the pair gives the depth for the target delay:
 * depth × target / delay. So each measurement proposes an absolute limit, not a delta: applying it twice is harmless.
 *
 * Time is a parameter. docs/backpressure.md derives the law and compares it with others.
 */

/** Initial limit. Idle limits decay back to it. */
export const INITIAL_BYTES = 256 << 10;
/** Minimum of the limit. */
export const LEAST_BYTES = 16 << 10;
/** A limit is in use, and may grow, if at least this share of it was in flight. */
const IN_USE = 0.75;
const GROW_MOST = 2;
const SHRINK_MOST = 0.25;
/**
 * Step of a limit in use towards the worker's equal share at each measurement. With the same ratio alone, the limits of
 * several workers would drift apart and stay so.
 */
const SHARING = 0.1;
/** Time constant with which an unused limit decays to its goal. */
const DECAY_MS = 5_000;
/** A delay above this share of the target is evidence of load. Without evidence nothing is refused. */
const EVIDENCE = 0.5;
/** The limit applies for this many targets after the last evidence. */
const FORCE_TARGETS = 10;
/**
 * The target is at least this many fixed costs of a commit. A request waits for the current commit, then for its own:
 * delay D = 2a + b·depth. So the disk's utilisation is 1 − 2a/D: 80% needs D = 10a, plus a margin.
 */
const FIXED_COSTS = 12;
const TARGET_MOST = 20;

export class AdaptiveLimit {
  limitBytes: number;
  /** The target delay: as configured, or more if a commit's fixed cost requires it. */
  targetMs: number;
  /** The last delay measured. */
  delayMs = 0;
  private readonly configuredMs: number;
  private readonly mostBytes: number;
  private inForceUntilMs = Number.NEGATIVE_INFINITY;
  private measuredAtMs = 0;

  /** @param mostBytes the static bound, which the limit never exceeds */
  constructor(configuredMs: number, mostBytes: number) {
    this.configuredMs = configuredMs;
    this.targetMs = configuredMs;
    this.mostBytes = mostBytes;
    this.limitBytes = Math.min(INITIAL_BYTES, mostBytes);
  }

  /**
   * Whether to admit a request while `usedBytes` are in flight. Always true with nothing in flight.
   * @param headAgeMs wait of the oldest in flight: a delay that still grows, so beyond the target it scales the limit
   * as a measurement would
   */
  admits(usedBytes: number, headAgeMs: number, nowMs: number): boolean {
    if (headAgeMs > EVIDENCE * this.targetMs) this.inForceUntilMs = nowMs + FORCE_TARGETS * this.targetMs;
    if (nowMs >= this.inForceUntilMs) return true;
    if (headAgeMs <= this.targetMs) return usedBytes < this.limitBytes || usedBytes === 0;
    return usedBytes < Math.max(LEAST_BYTES, (this.limitBytes * this.targetMs) / headAgeMs);
  }

  /**
   * Applies a measurement.
   * @param delayMs from hand-over to stored
   * @param depthBytes in flight at hand-over
   * @param fixedMs estimated fixed cost of a commit
   * @param shareBytesPerMs throughput of storage, divided by the workers
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

  /** The next limit while it is not in use: its value under load decays slowly. */
  private rested(depthBytes: number, shareBytes: number, elapsedMs: number): number {
    const { limitBytes, delayMs, targetMs } = this;
    // Other workers load the storage: this one keeps its share.
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
