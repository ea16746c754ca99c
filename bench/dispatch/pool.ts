/** A fixed pool has this many threads, which take turns: as many as the server has workers by default. */
import { availableParallelism } from 'node:os';

export const POOL_THREADS = availableParallelism();
