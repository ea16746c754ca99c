/**
 * What a commit costs whatever its size: `a` of the affine model ms = a + b·bytes, fitted to the commits by least
 * squares, older ones weighing exponentially less.
 *
 * Commits of about the same size do not tell `a` from `b`, so the estimate follows a fit as far as sizes vary in it, and
 * as far as times keep to it.
 * Until they do, a commit that takes longer than others is put down to its bytes: taking a slow disk for one with a
 * large fixed cost would raise the target delay, and with it the delay of everybody.
 */

/** A commit weighs 1/e of a new one after so many. */
const MEMORY_COMMITS = 48;
/** Fewer commits than this are not fitted. */
const LEAST_COMMITS = 8;
/** A commit counts with this many times what was expected of it at most: a stall is no measure of the disk. */
const EXPECTED_MOST = 2;
/** A fit whose sizes have this standard deviation, as a share of their mean, is believed half. */
const SPREAD = 0.25;
/** A fit from which times scatter by this share of their mean is believed half, and soon less. */
const SCATTER = 0.25;
/** The estimate follows a fit that is believed this many times as fast as the fit forgets. */
const PACE = 4;
/** No fit counts that is far above the least commit of the last one to two windows: stalls are no fixed cost. */
const WINDOW_COMMITS = 16;
const ABOVE_LEAST = 1.25;

export class CommitCost {
  /** Ms that a commit of no bytes would take; 0 while nothing is known. */
  fixedMs = 0;
  /** What storage takes while it works. */
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

  /** What the fit leaves unexplained, as a share of the mean time: much of it when the disk changed under the fit. */
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
    // When none was faster for a while, the disk has become slow.
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
