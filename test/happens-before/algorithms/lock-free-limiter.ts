import assert from 'node:assert/strict';
import type { Field, Layout, Prepared, Scenario } from '../../../src/happens-before/scenario.ts';
import { ADMITTED, LIMITED, type LimiterGeometry, type Verdict } from '../../../src/limiter/limiter.ts';
import {
  BUCKET,
  FRESH,
  HIGH,
  LAST_MS_F64,
  LOW,
  TableIndex,
  tableBytes,
  VERSION,
  WAY_MASK,
} from '../../../src/limiter/lock-free-layout.ts';
import type * as lockFreeTable from '../../../src/limiter/lock-free-table.ts';
import { FROZEN, TokenClock } from '../../../src/limiter/token-clock.ts';
import { type Algorithm, swap } from '../algorithm.ts';

type Modules = typeof lockFreeTable;
type Table = InstanceType<Modules['LockFreeTable']>;

const FILE = 'limiter/lock-free-table.js';
const SLOT_BYTES = 32;
const BURST = 4;
const CLOCK = new TokenClock(1, BURST);
const NOW_MS = 1e6;

/** Clients are numbered from 1; the number is both words of the hash. */
type Client = number;

interface Shape {
  readonly ways: number;
  /** Clients in the table at the start, by way: idle for a while, or with one token charged now. */
  readonly present: readonly { readonly client: Client; readonly active: boolean }[];
  /** The clients that each thread charges, in turn. */
  readonly threads: readonly (readonly Client[])[];
}

const unordered = {
  unordered:
    'read plainly and checked again: the swap of BUCKET fails unless it is current, and the owner is compared behind it',
};

const word = (slot: string, from: number, name: string, index: number, more: Partial<Field> = {}): Field => ({
  name: `${name} of ${slot}`,
  byte: from + 4 * index,
  bytes: 4,
  ...more,
});

function slotFields(slot: string, from: number): Layout {
  return [
    word(slot, from, 'LOW', LOW, unordered),
    word(slot, from, 'HIGH', HIGH, unordered),
    word(slot, from, 'BUCKET', BUCKET, {
      unorderedLoads: 'the usual charge loads it plainly, and its swap fails unless the value is current',
    }),
    word(slot, from, 'FRESH', FRESH, unordered),
    { ...{ name: `LAST_MS of ${slot}`, byte: from + 8 * LAST_MS_F64, bytes: 8 }, ...unordered },
    word(slot, from, 'ALLOWED', 6, { unordered: 'a count for the census' }),
    word(slot, from, 'REFUSED', 7, { unordered: 'a count for the census' }),
  ];
}

const LAYOUT: Layout = [
  { name: 'VERSION', byte: 0, bytes: 4 },
  { name: 'EVICTIONS', byte: 4, bytes: 4 },
  { name: 'OVERFLOWED', byte: 8, bytes: 4 },
  ...slotFields('the overflow slot', SLOT_BYTES),
  ...slotFields('way 0', 2 * SLOT_BYTES),
  ...slotFields('way 1', 3 * SLOT_BYTES),
];

/** The tokens that each slot lacks, by client; the overflow bucket's under 0. */
class Reading {
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly index: TableIndex;
  private readonly ways: number;

  constructor(memory: SharedArrayBuffer, geometry: LimiterGeometry) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.index = new TableIndex(0, geometry);
    this.ways = geometry.ways;
  }

  missing(): Map<Client, number> {
    const { i32, index } = this;
    const set = index.set(0);
    const now = CLOCK.floor(NOW_MS);
    const tokensOf = (bucket: number) => Math.max(0, CLOCK.missing(bucket, now)) / CLOCK.token;
    const tokens = (slot: number) => {
      const isFull = NOW_MS - this.f64[(slot >> 1) + LAST_MS_F64]! > CLOCK.horizonMs;
      return isFull ? 0 : tokensOf(i32[slot + BUCKET]!);
    };
    const pendingWay = (i32[set + VERSION]! & WAY_MASK) - 1;
    const missing = new Map([[0, tokens(index.overflowSlot(set))]]);
    for (let way = 0; way < this.ways; way++) {
      const slot = index.slot(set, way);
      const client = i32[slot + LOW]!;
      const isFrozen = (i32[slot + BUCKET]! & FROZEN) !== 0;
      // A pending insertion has happened; a slot that is frozen otherwise belongs to nobody.
      if (client === 0 || (isFrozen && way !== pendingWay)) continue;
      assert.equal(i32[slot + HIGH], client, 'both words of a client');
      assert.ok(!missing.has(client), `client ${client} has two slots`);
      missing.set(client, isFrozen ? tokensOf(i32[slot + FRESH]!) : tokens(slot));
    }
    return missing;
  }
}

const charge = (table: Table, clients: readonly Client[]): Verdict[] =>
  clients.map((client) => table.charge(client, client, 1, NOW_MS));

function prepare({ LockFreeTable }: Modules, { ways, present, threads }: Shape): Prepared {
  const geometry = { sets: 1, ways };
  const memory = new SharedArrayBuffer(tableBytes({ sets: 1, ways: 2 }));
  const open = () => new LockFreeTable(memory, 0, geometry, CLOCK);
  const before = open();
  for (const { client, active } of present)
    before.charge(client, client, 1, active ? NOW_MS : NOW_MS - 20_000);
  const reading = new Reading(memory, geometry);
  let last = reading.missing();
  const names = threads.map((_, thread) => `thread ${thread}`);
  return {
    memories: [{ memory, layout: LAYOUT }],
    threads: Object.fromEntries(
      threads.map((clients, thread) => [names[thread]!, () => charge(open(), clients)]),
    ),
    check: () => {
      const now = reading.missing();
      for (const [client, tokens] of last)
        assert.ok((now.get(client) ?? 0) >= tokens, `client ${client} lost a charge`);
      last = now;
    },
    checkEnd: (results) => {
      const admitted = new Map<Client, number>();
      const count = (client: Client) => admitted.set(client, (admitted.get(client) ?? 0) + 1);
      for (const { client, active } of present) if (active) count(client);
      for (const [thread, clients] of threads.entries()) {
        const verdicts = results[names[thread]!] as Verdict[];
        assert.ok(verdicts.every((verdict) => verdict === ADMITTED || verdict === LIMITED));
        for (const [index, client] of clients.entries()) if (verdicts[index] === ADMITTED) count(client);
      }
      checkCharges(reading.missing(), admitted, threads.length);
    },
  };
}

function checkCharges(
  missing: ReadonlyMap<Client, number>,
  admitted: ReadonlyMap<Client, number>,
  threads: number,
): void {
  const charged = [...admitted.values()].reduce((sum, count) => sum + count, 0);
  const paid = [...missing.values()].reduce((sum, tokens) => sum + tokens, 0);
  // A client may pay for one charge of the client before it in its slot; no charge is free.
  assert.ok(paid >= charged, `${charged} charges, ${paid} tokens`);
  assert.ok(paid <= charged + threads - 1, `${charged} charges, ${paid} tokens`);
  const overflow = missing.get(0) ?? 0;
  for (const tokens of missing.values()) assert.ok(tokens <= BURST, `${tokens} tokens of ${BURST}`);
  for (const [client, count] of admitted)
    assert.ok((missing.get(client) ?? 0) + overflow >= count, `client ${client} was not charged`);
}

const PLAIN_LOAD =
  'its swap fails unless the value is current; that the other words are as new is not proved';

const idle = (client: Client) => ({ client, active: false });
const active = (client: Client) => ({ client, active: true });
const scenario = (name: string, shape: Shape): Scenario<Modules> => ({
  name,
  prepare: (modules) => prepare(modules, shape),
});

export const lockFreeLimiter: Algorithm<Modules> = {
  name: 'lock-free limiter',
  modules: [FILE],
  breaks: [FILE],
  // More than of others: the algorithm rests on few operations in many orders.
  interleavingsMax: 4_000,
  harmless: {
    'plain load of slot + BUCKET in findLive': PLAIN_LOAD,
    'plain load of slot + BUCKET in chargeSlot': PLAIN_LOAD,
    'plain load of slot + BUCKET in publish': PLAIN_LOAD,
    'plain load of slot + BUCKET in freeze': PLAIN_LOAD,
    'plain load of slot + BUCKET in release': 'only this thread changes a frozen BUCKET',
    'plain add of word in count': 'a count for the census, which may miss one',
  },
  scenarios: [
    scenario('two threads charge one client', { ways: 1, present: [active(1)], threads: [[1], [1]] }),
    scenario('two threads charge more than one client may', {
      ...{ ways: 1, present: [active(1)] },
      threads: [
        [1, 1],
        [1, 1],
      ],
    }),
    scenario('two threads insert one client', { ways: 2, present: [], threads: [[1], [1]] }),
    scenario('two threads insert one client beside idle ones', {
      ...{ ways: 2, present: [idle(2), idle(3)], threads: [[1], [1]] },
    }),
    scenario('an idle client returns while a newcomer evicts it', {
      ...{ ways: 1, present: [idle(1)], threads: [[1], [2]] },
    }),
    scenario('an idle client returns while a newcomer evicts it, and there is another slot', {
      ...{ ways: 2, present: [idle(1), active(3)], threads: [[1], [2]] },
    }),
    scenario('two newcomers come to one idle slot', { ways: 1, present: [idle(3)], threads: [[1], [2]] }),
    scenario('two newcomers come to two idle slots', {
      ...{ ways: 2, present: [idle(3), idle(4)], threads: [[1], [2]] },
    }),
    scenario('two newcomers come to a set of active clients', {
      ...{ ways: 1, present: [active(3)], threads: [[1], [2]] },
    }),
    scenario('a thread inserts a client while another one charges a third', {
      ...{ ways: 2, present: [idle(3)], threads: [[1], [3]] },
    }),
    scenario('a thread inserts a client, and another one charges it and a third client', {
      ...{ ways: 2, present: [idle(3)], threads: [[1], [1, 3]] },
    }),
  ],
  variants: [
    swap(
      'an insertion that ignores other insertions',
      FILE,
      'set + VERSION, version, pending) !== version',
      'set + VERSION, Atomics.load(i32, set + VERSION), pending) === pending',
    ),
    swap(
      'an eviction that ignores charges',
      FILE,
      'if (seen !== victimBucket)',
      'Atomics.store(i32, slot + BUCKET, victimBucket | FROZEN);\n        if (seen === -7)',
    ),
    swap(
      'a charge that ignores other charges',
      FILE,
      'if (seen !== bucket)',
      'Atomics.store(i32, slot + BUCKET, next);\n            if (seen === -7)',
    ),
  ],
};
