/**
 * Ends the process when a query makes it larger than promised, or nearly as large as its control group allows.
 *
 * DuckDB's own limit covers its tables, hashes and buffers, but not every value: `repeat('x', 4000000000)` is one string
 * of 4 GB outside it. And at the limit of a control group the kernel would kill the process without a word.
 */
import { readFileSync } from 'node:fs';
import { memoryLimit } from '../base/memory-limit.ts';
import { MIB } from '../base/units.ts';

/** Node, DuckDB's code, and buffers of the reader. */
const PROCESS_BYTES = 384 * MIB;
/** For the kernel's own data, the other memory of the group, and a query's growth until a check that comes late. */
const GROUP_REST_BYTES = 24 * MIB;
const GROUP_REST_SHARE = 1 / 8;
const CHECK_MS = 10;
const PAGE_BYTES = 4_096;

/** Bytes that the kernel cannot take back by dropping pages of files. */
function privateBytes(): number {
  const [, resident, shared] = readFileSync('/proc/self/statm', 'utf8').split(' ').map(Number);
  return (resident! - shared!) * PAGE_BYTES;
}

/** Calls `exceeded` once, when the process is too large for the reason given. Returns a function that ends the watch. */
export function watchMemory(maxMemoryBytes: number, exceeded: (allowance: string) => void): () => void {
  const { bytes, source } = memoryLimit();
  const mostBytes = bytes - Math.max(GROUP_REST_BYTES, bytes * GROUP_REST_SHARE);
  const tooLarge = (): string | null => {
    if (process.memoryUsage.rss() > maxMemoryBytes + PROCESS_BYTES)
      return `--max-memory (${Math.round(maxMemoryBytes / MIB)} MiB) allows`;
    if (privateBytes() > mostBytes) return `this process may use (${Math.floor(bytes / MIB)} MiB, ${source})`;
    return null;
  };
  const timer = setInterval(() => {
    const allowance = tooLarge();
    if (allowance === null) return;
    clearInterval(timer);
    exceeded(allowance);
  }, CHECK_MS).unref();
  return () => clearInterval(timer);
}
