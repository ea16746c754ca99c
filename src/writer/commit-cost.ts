/**
 * What a commit costs: `a` and `b` of the affine model ms = a + b·bytes, fitted to the commits themselves by least
 * squares, older ones weighing exponentially less.
 *
 * Where all commits have about the same size they do not tell `a` from `b`; the fit then leans on what it knew.
 */

/** A commit weighs 1/e of a new one after so many. */
const MEMORY_COMMITS = 48;
const GAIN = 4;
/** A fit has to be at least this old before it counts. */
const LEAST_COMMITS = 8;
/** Sizes that spread by this share of their mean weigh as much as what was known before. */
const SPREAD = 0.15;

/** No estimate is far above the least commit of the last one to two windows: stalls are no fixed cost. */
const WINDOW_COMMITS = 16;
const ABOVE_LEAST = 1.25;

export class CommitCost {
  /** Ms that a commit of no bytes would take; 0 while nothing is known. */
  fixedMs = 0;
  /** What storage takes while it works. */
  bytesPerMs = 0;
  private msPerByte = 0;
  private commits = 0;
  private meanBytes = 0;
  private meanMs = 0;
  private variance = 0;
  private covariance = 0;
  private leastMs = Number.POSITIVE_INFINITY;
  private previousLeastMs = Number.POSITIVE_INFINITY;

  add(bytes: number, ms: number): void {
    this.commits++;
    const share = Math.max(1 / this.commits, 1 / MEMORY_COMMITS);
    const offBytes = bytes - this.meanBytes;
    const offMs = ms - this.meanMs;
    this.meanBytes += share * offBytes;
    this.meanMs += share * offMs;
    this.variance = (1 - share) * (this.variance + share * offBytes * offBytes);
    this.covariance = (1 - share) * (this.covariance + share * offBytes * offMs);
    if (this.commits % WINDOW_COMMITS === 0) {
      this.previousLeastMs = this.leastMs;
      this.leastMs = Number.POSITIVE_INFINITY;
    }
    this.leastMs = Math.min(this.leastMs, ms);
    this.bytesPerMs = this.meanBytes / this.meanMs;
    if (this.commits >= LEAST_COMMITS) this.fit(share);
  }

  private fit(share: number): void {
    const doubt = (SPREAD * this.meanBytes) ** 2;
    const slope = Math.max(0, this.covariance / Math.max(this.variance, Number.MIN_VALUE));
    const trust = this.variance / (this.variance + doubt);
    const gain = this.commits === LEAST_COMMITS ? 1 : Math.min(1, GAIN * share * trust);
    this.msPerByte += (slope - this.msPerByte) * gain;
    const fixedMs = this.meanMs - this.msPerByte * this.meanBytes;
    const mostMs = ABOVE_LEAST * Math.min(this.leastMs, this.previousLeastMs);
    this.fixedMs = Math.min(Math.max(0, fixedMs), mostMs);
  }
}
