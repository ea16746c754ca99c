/** The shape of the limiter's tables: how many sets, and how many ways for a number of clients. */

/** A prime far above the number of threads: threads that charge different clients rarely use the same set. */
export const SETS = 10_007;

/** Expected share of `clients` whose set is full when all of them are present. */
const OVERFLOW_SHARE = 2e-4;

/**
 * Ways that a set needs: clients fall into sets as a Poisson variable X with mean clients / sets, and WAYS is the least
 * w with E[max(X - w, 0)] ≤ OVERFLOW_SHARE × mean. For 65,536 clients over 10,007 sets it is 16.
 */
export function waysFor(clients: number, sets: number): number {
  const mean = clients / sets;
  // P(X = w), P(X > w) and E[max(X - w, 0)], stepped from w = 0.
  let exactly = Math.exp(-mean);
  let above = 1 - exactly;
  let excess = mean;
  let ways = 0;
  while (ways < 1 || (excess > OVERFLOW_SHARE * mean && ways < clients)) {
    excess -= above;
    ways++;
    exactly *= mean / ways;
    above -= exactly;
  }
  return ways;
}
