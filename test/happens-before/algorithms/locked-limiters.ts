import type { Layout, Prepared, Scenario, ThreadBody } from '../../../src/happens-before/scenario.ts';
import {
  ADMITTED,
  type Limiter,
  type LimiterConfig,
  type LimiterGeometry,
  type Verdict,
} from '../../../src/limiter/limiter.ts';
import type * as stripedLock from '../../../src/limiter/striped-lock.ts';
import { type Algorithm, swap } from '../algorithm.ts';

type Modules = typeof stripedLock;

const BUCKET_FILE = 'limiter/bucket-limiter.js';
const TABLE_FILE = 'limiter/table.js';
const LINE_BYTES = 64;
const GEOMETRY: LimiterGeometry = { sets: 2, ways: 1 };
const CONFIG: LimiterConfig = { requestRate: 1, requestBurst: 2, metricRate: 1, metricBurst: 5, clients: 2 };
const NOW_MS = 1e6;
/** All buckets of clients charged at NOW_MS are full again. */
const LATER_MS = 2e6;

const CENSUS = {
  late: 'the census reads without locks: each word is whole, and may be one request old',
  lateReaders: ['main'],
};

/** With one way, a set takes a line: its header, a slot and the overflow slot; and a line of records. */
const LAYOUT: Layout = [
  { name: 'header', byte: 0, bytes: LINE_BYTES },
  ...[0, 1].flatMap((set) => {
    const byte = LINE_BYTES * (1 + set);
    return [
      { name: `LOCK of set ${set}`, byte, bytes: 4 },
      { name: `set ${set}`, byte: byte + 4, bytes: LINE_BYTES - 4, ...CENSUS },
    ];
  }),
  { name: 'records', byte: 3 * LINE_BYTES, bytes: 2 * LINE_BYTES, ...CENSUS },
];

function keyOf(client: string): Uint8Array {
  return new TextEncoder().encode(client);
}

function charges(limiter: Limiter, client: string, times: number, nowMs: number): Verdict[] {
  const key = keyOf(client);
  return Array.from({ length: times }, () => limiter.chargeRequest(key, key.length, nowMs));
}

function scenario(
  name: string,
  bodies: (
    open: () => Limiter,
    modules: Modules,
    memory: SharedArrayBuffer,
  ) => Readonly<Record<string, ThreadBody>>,
  checkEnd: (results: Readonly<Record<string, unknown>>) => void,
  before: (limiter: Limiter) => void = () => {},
): Scenario<Modules> {
  const prepare = (modules: Modules): Prepared => {
    const memory = modules.createLimiterMemory(CONFIG, GEOMETRY);
    // The same hashes in every execution.
    new Int32Array(memory).fill(0, 0, 2);
    const open = () => modules.openLimiter(memory, CONFIG);
    before(open());
    return { memories: [{ memory, layout: LAYOUT }], threads: bodies(open, modules, memory), checkEnd };
  };
  return { name, prepare, operationsMax: 80 };
}

function admitted(results: readonly unknown[]): number {
  return (results as readonly Verdict[][]).flat().filter((verdict) => verdict === ADMITTED).length;
}

function expectAdmitted(results: readonly unknown[], expected: number): void {
  const count = admitted(results);
  if (count !== expected) throw new Error(`${count} charges were admitted instead of ${expected}`);
}

const SCENARIOS: readonly Scenario<Modules>[] = [
  scenario(
    'two threads charge one client more than it may, and main counts',
    (open, { readCensus }, memory) => ({
      a: () => charges(open(), 'x', 2, NOW_MS),
      b: () => charges(open(), 'x', 1, NOW_MS),
      main: ({ expect }) => expect(readCensus(memory, 1).occupied <= 1, 'one client is in the table'),
    }),
    ({ a, b }) => expectAdmitted([a, b], CONFIG.requestBurst),
  ),
  scenario(
    'two threads charge requests and metrics of clients in all sets',
    (open) => {
      const both = (clients: readonly string[]) => () => {
        const limiter = open();
        return clients.flatMap((client) => [
          ...charges(limiter, client, 1, NOW_MS),
          limiter.chargeMetrics(1, NOW_MS),
        ]);
      };
      return { a: both(['x', 'y']), b: both(['y', 'z']) };
    },
    () => {},
  ),
  scenario(
    'two threads charge a request and metrics of one client',
    (open) => {
      const both = () => {
        const limiter = open();
        return [...charges(limiter, 'x', 1, NOW_MS), limiter.chargeMetrics(2, NOW_MS)];
      };
      return { a: both, b: both };
    },
    ({ a, b }) => expectAdmitted([a, b], 4),
  ),
  scenario(
    'newcomers evict an idle client while it returns',
    (open) => ({
      a: () => charges(open(), 'x', 1, LATER_MS),
      b: () => charges(open(), 'y', 1, LATER_MS),
      c: () => charges(open(), 'z', 1, LATER_MS),
    }),
    ({ a, b, c }) => expectAdmitted([a, b, c], 3),
    (limiter) => {
      charges(limiter, 'x', 1, NOW_MS);
    },
  ),
];

const VARIANTS = [
  swap(
    'unlock before the bucket is written',
    BUCKET_FILE,
    'const admitted = tokens >= 1;',
    'const admitted = tokens >= 1; unlock(table.i32, lockWord);',
  ),
  swap(
    'look for the client before the lock is acquired',
    BUCKET_FILE,
    'const lockWord = table.lockWord(setIndex);\n        if (!lock(table.i32, lockWord, LOCK_BOUND_MS))\n            return this.busy(requestRate);',
    'const lockWord = table.lockWord(setIndex); table.find(set, hash[0], hash[1]);\n        if (!lock(table.i32, lockWord, LOCK_BOUND_MS))\n            return this.busy(requestRate);',
  ),
  swap(
    'charge although the lock is not acquired',
    BUCKET_FILE,
    'if (!lock(table.i32, lockWord, LOCK_BOUND_MS))\n            return this.busy(metricRate);',
    'lock(table.i32, lockWord, -1);',
  ),
  swap(
    'the lock of a neighbouring set',
    TABLE_FILE,
    'this.set((setIndex * this.locksPerSet) | 0)',
    'this.set(this.sets > 1 ? Math.abs(this.probe = ~(this.probe ?? -1)) : 0)',
  ),
  swap(
    'an eviction after the unlock',
    BUCKET_FILE,
    'unlock(table.i32, lockWord);\n        return this.charged(admitted, tokens, 1, requestRate);',
    'unlock(table.i32, lockWord); f64[set + EVICTIONS_F64] += 0;\n        return this.charged(admitted, tokens, 1, requestRate);',
  ),
];

function limiter(name: string, file: string): Algorithm<Modules> {
  return {
    name,
    modules: [file],
    breaks: ['base/futex-lock.js'],
    constants: { SPINS: 1 },
    scenarios: SCENARIOS,
    variants: VARIANTS,
  };
}

export const stripedLimiter = limiter('striped limiter', 'limiter/striped-lock.js');
export const globalLimiter = limiter('global-lock limiter', 'limiter/global-lock.js');
