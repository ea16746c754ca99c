import { availableParallelism } from 'node:os';

/** CPUs that this process may use at once. */
export function availableCpus(): number {
  return availableParallelism();
}
