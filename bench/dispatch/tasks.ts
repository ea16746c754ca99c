/** The tasks that are handed over: bodies of three sizes, made from a seed, each to be answered with its checksum. */
import { availableParallelism } from 'node:os';
import zlib from 'node:zlib';
import { digestOf, seededRandom } from '../workloads.ts';

/** A fixed pool has as many threads as the server has workers by default. */
export const POOL_THREADS = availableParallelism();

export const BODY_BYTES = [240, 10_000, 100_000] as const;
/** Tasks that are out at once: one, to see how long it takes; or as many as a busy worker gets in a turn. */
const DEPTHS = [1, 16] as const;
export const DEPTH_MAX = 16;

/** The timed cases: body size, and tasks in flight. */
export interface Setting {
  readonly bodyBytes: number;
  readonly depth: number;
}

export const SETTINGS: readonly Setting[] = BODY_BYTES.flatMap((bodyBytes) =>
  DEPTHS.map((depth) => ({ bodyBytes, depth })),
);

export const SEED = 20_267;
/** Bodies of one size that take turns, so that no answer fits its neighbour: a power of two. */
const BODIES = 16;

/** The work of a task: reads each byte once. */
export function checksum(body: Uint8Array): number {
  return zlib.crc32(body) | 0;
}

export interface Bodies {
  body(task: number): Uint8Array;
  /** The expected answer to the task. */
  checksum(task: number): number;
}

export function bodiesOf(bodyBytes: number): Bodies {
  const random = seededRandom(SEED + bodyBytes);
  // Each owns all of its buffer, as what uWebSockets.js gives does: posting a view would copy the buffer behind it.
  const all = Array.from({ length: BODIES }, () =>
    new Uint8Array(bodyBytes).map(() => Math.floor(random() * 256)),
  );
  const sums = all.map(checksum);
  return {
    body: (task) => all[task & (BODIES - 1)]!,
    checksum: (task) => sums[task & (BODIES - 1)]!,
  };
}

export function workloadDigest(): string {
  return digestOf(
    ...BODY_BYTES.flatMap((bodyBytes) => {
      const bodies = bodiesOf(bodyBytes);
      return Array.from({ length: BODIES }, (_, at) => bodies.body(at));
    }),
  );
}
