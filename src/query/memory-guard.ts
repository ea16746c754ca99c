/**
 * Ends the process when a query makes it larger than promised.
 *
 * DuckDB's own limit covers its tables, hashes and buffers, but not every value: `repeat('x', 4000000000)` is one string
 * of 4 GB outside it.
 */
import { MIB } from '../base/units.ts';

/** Node, DuckDB's code, and buffers of the reader. */
const PROCESS_BYTES = 384 * MIB;
const CHECK_MS = 25;

/** Calls `exceeded` once when the resident set passes the limit. Returns a function that ends the watch. */
export function watchMemory(maxMemoryBytes: number, exceeded: () => void): () => void {
  const timer = setInterval(() => {
    if (process.memoryUsage.rss() <= maxMemoryBytes + PROCESS_BYTES) return;
    clearInterval(timer);
    exceeded();
  }, CHECK_MS).unref();
  return () => clearInterval(timer);
}
