/**
 * Estimates the fixed cost of a commit: `a` of the affine model ms = a + b·bytes, fitted to the commits by least squares
 * with exponentially decaying weights.
 *
 * Commits of similar size cannot separate `a` from `b`. The estimate therefore follows a fit in proportion to how much
 * sizes vary in it and how well times match it. Until then, extra time counts as cost of the bytes: mistaking a slow disk
 * for one with a large fixed cost would raise the target delay, and with it everybody's delay.
 */

/** After this many commits, a commit weighs 1/e of a new one. */
const MEMORY_COMMITS = 48;
/** The fit starts at this many commits. */
const LEAST_COMMITS = 8;
/** Caps a commit's time at this multiple of the expected time: a stall says nothing about the disk. */
const EXPECTED_MOST = 2;
/** Sizes with this standard deviation, as a share of their mean, give a fit half of the full weight. */
const SPREAD = 0.25;
/** Times that scatter by this share of their mean around the fit halve its weight; more scatter removes it. */
const SCATTER = 0.25;
/** The estimate follows a fit of full weight this many times as fast as the fit forgets. */
const PACE = 4;
/** Caps the fit near the fastest commit of the last one to two windows: stalls are not a fixed cost. */
const WINDOW_COMMITS = 16;
const ABOVE_LEAST = 1.25;

export class CommitCost {
  /** Estimated time of an empty commit in ms; 0 until there is an estimate. */
  fixedMs = 0;
  /** Throughput of storage while it works. */
  bytesPerMs = 0;
  private commits = 0;
  private meanBytes = 0;
  private meanMs = 0;
  private variance = 0;
  private msVariance = 0;
  private covariance = 0;
  private leastMs = Number.POSITIVE_INFINITY;
  private previousLeastMs = Number.POSITIVE_INFINITY;

  add(bytes: number, ms: number): void {
    const share = Math.max(1 / ++this.commits, 1 / MEMORY_COMMITS);
    const offBytes = bytes - this.meanBytes;
    const offMs = this.counted(offBytes, ms) - this.meanMs;
    this.meanBytes += share * offBytes;
    this.meanMs += share * offMs;
    this.variance = (1 - share) * (this.variance + share * offBytes * offBytes);
    this.msVariance = (1 - share) * (this.msVariance + share * offMs * offMs);
    this.covariance = (1 - share) * (this.covariance + share * offBytes * offMs);
    if (this.commits % WINDOW_COMMITS === 0) {
      this.previousLeastMs = this.leastMs;
      this.leastMs = Number.POSITIVE_INFINITY;
    }
    this.leastMs = Math.min(this.leastMs, ms);
    this.bytesPerMs = this.meanBytes / Math.max(this.meanMs, Number.MIN_VALUE);
    if (this.commits >= LEAST_COMMITS) this.follow(share);
  }

  private get msPerByte(): number {
    return Math.max(0, this.covariance / Math.max(this.variance, Number.MIN_VALUE));
  }

  /** Time that the fit leaves unexplained, as a share of the mean: large when the disk changed under the fit. */
  private get unexplained(): number {
    const explained = this.msPerByte * Math.max(0, this.covariance);
    return Math.sqrt(Math.max(0, this.msVariance - explained)) / Math.max(this.meanMs, Number.MIN_VALUE);
  }

  private get recentLeastMs(): number {
    return Math.min(this.leastMs, this.previousLeastMs);
  }

  private counted(offBytes: number, ms: number): number {
    if (this.commits <= LEAST_COMMITS) return ms;
    const expectedMs = this.meanMs + this.msPerByte * Math.max(0, offBytes);
    // If none was faster for a while, the disk has become slow.
    return Math.min(ms, EXPECTED_MOST * Math.max(expectedMs, this.recentLeastMs));
  }

  private follow(share: number): void {
    const spread = this.variance / (this.variance + (SPREAD * this.meanBytes) ** 2);
    const belief = spread / (1 + (this.unexplained / SCATTER) ** 4);
    const mostMs = ABOVE_LEAST * this.recentLeastMs;
    const fittedMs = Math.min(Math.max(0, this.meanMs - this.msPerByte * this.meanBytes), mostMs);
    this.fixedMs += (fittedMs - this.fixedMs) * Math.min(1, PACE * share * belief);
    this.fixedMs = Math.min(this.fixedMs, mostMs);
  }
}
