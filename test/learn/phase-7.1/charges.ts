/** Threads that charge clients of one set: the checker loads this module with the learner's table. */
import type { LimiterGeometry, Verdict } from '../../../src/limiter/limiter.ts';
import {
  BUCKET,
  HIGH,
  LAST_MS_F64,
  LOW,
  TableIndex,
  tableBytes,
} from '../../../src/limiter/lock-free-layout.ts';
import { LockFreeTable } from '../../../src/limiter/lock-free-table.ts';
import { FROZEN, TokenClock } from '../../../src/limiter/token-clock.ts';

export const NOW_MS = 1e6;
const IDLE_MS = 20_000;
/** A token a second, four at once. */
const newClock = (): TokenClock => new TokenClock(1, 4);

const open = (memory: SharedArrayBuffer, ways: number): LockFreeTable =>
  new LockFreeTable(memory, 0, { sets: 1, ways }, newClock());

/** A table that holds these clients, idle for `idleMs`. */
export function createSet(ways: number, idleClients: readonly number[], idleMs = IDLE_MS): SharedArrayBuffer {
  const geometry: LimiterGeometry = { sets: 1, ways };
  const memory = new SharedArrayBuffer(tableBytes(geometry));
  const table = open(memory, ways);
  for (const client of idleClients) table.charge(client, client, 1, NOW_MS - idleMs);
  return memory;
}

/** Charges one token of each client in turn. */
export function chargeClients(
  memory: SharedArrayBuffer,
  ways: number,
  clients: readonly number[],
): Verdict[] {
  const table = open(memory, ways);
  return clients.map((client) => table.charge(client, client, 1, NOW_MS));
}

function slotsOf(ways: number): number[] {
  const index = new TableIndex(0, { sets: 1, ways });
  return Array.from({ length: ways }, (_, way) => index.slot(index.set(0), way));
}

/** Slots that belong to the thread that froze them. */
export function frozenSlots(memory: SharedArrayBuffer, ways: number): number {
  const words = new Int32Array(memory);
  return slotsOf(ways).filter((slot) => (words[slot + BUCKET]! & FROZEN) !== 0).length;
}

/** Tokens that each client lacks; those of the overflow bucket under 0. A client with two slots is listed twice. */
export function missingTokens(
  memory: SharedArrayBuffer,
  ways: number,
): (readonly [client: number, tokens: number])[] {
  const words = new Int32Array(memory);
  const index = new TableIndex(0, { sets: 1, ways });
  const clock = newClock();
  const now = clock.floor(NOW_MS);
  const times = new Float64Array(memory);
  const tokens = (slot: number): number => {
    // The word of an older bucket says nothing: the bucket is full.
    if (NOW_MS - times[(slot >> 1) + LAST_MS_F64]! > clock.horizonMs) return 0;
    return Math.max(0, clock.missing(words[slot + BUCKET]!, now)) / clock.token;
  };
  const live = slotsOf(ways).filter(
    (slot) => words[slot + LOW] !== 0 && (words[slot + BUCKET]! & FROZEN) === 0,
  );
  return [
    [0, tokens(index.overflowSlot(index.set(0)))] as const,
    ...live.map((slot) => [words[slot + HIGH]!, Math.round(tokens(slot))] as const),
  ];
}
