/** Every interleaving of threads that find, insert, evict and charge in one set of the lock-free table. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ADMITTED, LIMITED, type LimiterGeometry, type Verdict } from '../../src/limiter/limiter.ts';
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
} from '../../src/limiter/lock-free-layout.ts';
import { FROZEN, TokenClock } from '../../src/limiter/token-clock.ts';
import { explore, importInterruptible, type Run } from '../support/interleavings.ts';

interface Table {
  charge(low: number, high: number, tokens: number, nowMs: number): Generator<unknown, Verdict>;
}

const PATH = fileURLToPath(new URL('../../src/limiter/lock-free-table.js', import.meta.url));
const METHODS = [
  ...['charge', 'chargeSlowly', 'chargeSlot', 'chargeOverflow', 'findLive', 'insert', 'publish'],
  ...['freeze', 'refill', 'idleMs', 'assign', 'release', 'count', 'peek', 'poke', 'peekLast', 'pokeLast'],
];
type TableConstructor = new (
  memory: SharedArrayBuffer,
  offset: number,
  geometry: LimiterGeometry,
  clock: TokenClock,
) => Table;

/** The table with interruptible methods, built from the compiled source after `change`. */
async function importTable(change: (source: string) => string = (source) => source) {
  const { module, onRead } = await importInterruptible(PATH, METHODS, change);
  return { LockFreeTable: module.LockFreeTable as TableConstructor, onRead };
}

const BURST = 4;
const CLOCK = new TokenClock(1, BURST);
const NOW_MS = 1e6;
const STEPS_MAX = 2000;

/** Clients are numbered from 1; the number is both words of the hash. */
type Client = number;

interface Scenario {
  readonly ways: number;
  /** Clients in the table at the start, by way: idle for a while, or with one token charged now. */
  readonly present: readonly { readonly client: Client; readonly active: boolean }[];
  /** The client that each thread charges, in turn. */
  readonly threads: readonly (readonly Client[])[];
}

function finish<Result>(generator: Generator<unknown, Result>): Result {
  for (;;) {
    const { done, value } = generator.next();
    if (done) return value;
  }
}

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
    const tokensOf = (word: number) => Math.max(0, CLOCK.missing(word, now)) / CLOCK.token;
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

function start(LockFreeTable: TableConstructor, { ways, present, threads }: Scenario): Run {
  const geometry = { sets: 1, ways };
  const memory = new SharedArrayBuffer(tableBytes(geometry));
  const tables = threads.map(() => new LockFreeTable(memory, 0, geometry, CLOCK));
  const admitted = new Map<Client, number>();
  for (const { client, active } of present) {
    finish(tables[0]!.charge(client, client, 1, active ? NOW_MS : NOW_MS - 20_000));
    if (active) admitted.set(client, 1);
  }
  const reading = new Reading(memory, geometry);
  let before = reading.missing();
  function* run(table: Table, clients: readonly Client[]): Generator<unknown, Verdict[]> {
    const verdicts: Verdict[] = [];
    for (const client of clients) {
      const verdict = yield* table.charge(client, client, 1, NOW_MS);
      if (verdict === ADMITTED) admitted.set(client, (admitted.get(client) ?? 0) + 1);
      verdicts.push(verdict);
    }
    return verdicts;
  }
  return {
    threads: threads.map((clients, thread) => run(tables[thread]!, clients)),
    memory: new Int32Array(memory),
    check: () => {
      const now = reading.missing();
      for (const [client, tokens] of before) {
        assert.ok((now.get(client) ?? 0) >= tokens, `client ${client} lost a charge`);
      }
      before = now;
    },
    checkEnd: (results) => {
      const verdicts = results.flat();
      assert.ok(verdicts.every((verdict) => verdict === ADMITTED || verdict === LIMITED));
      const missing = reading.missing();
      const charged = [...admitted.values()].reduce((sum, count) => sum + count, 0);
      const paid = [...missing.values()].reduce((sum, tokens) => sum + tokens, 0);
      // A client may pay for one charge of the client before it in its slot; no charge is free.
      assert.ok(paid >= charged, `${charged} charges, ${paid} tokens`);
      assert.ok(paid <= charged + threads.length - 1, `${charged} charges, ${paid} tokens`);
      const overflow = missing.get(0) ?? 0;
      for (const tokens of missing.values()) assert.ok(tokens <= BURST, `${tokens} tokens of ${BURST}`);
      for (const [client, count] of admitted) {
        assert.ok((missing.get(client) ?? 0) + overflow >= count, `client ${client} was not charged`);
      }
    },
  };
}

const idle = (client: Client) => ({ client, active: false });
const active = (client: Client) => ({ client, active: true });

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'two threads charge one client': { ways: 1, present: [active(1)], threads: [[1], [1]] },
  'two threads charge more than one client may': {
    ways: 1,
    present: [active(1)],
    threads: [
      [1, 1],
      [1, 1],
    ],
  },
  'two threads insert one client': { ways: 2, present: [], threads: [[1], [1]] },
  'two threads insert one client beside idle ones': {
    ways: 2,
    present: [idle(2), idle(3)],
    threads: [[1], [1]],
  },
  'an idle client returns while a newcomer evicts it': { ways: 1, present: [idle(1)], threads: [[1], [2]] },
  'an idle client returns while a newcomer evicts it, and there is another slot': {
    ways: 2,
    present: [idle(1), active(3)],
    threads: [[1], [2]],
  },
  'two newcomers come to one idle slot': { ways: 1, present: [idle(3)], threads: [[1], [2]] },
  'two newcomers come to two idle slots': { ways: 2, present: [idle(3), idle(4)], threads: [[1], [2]] },
  'two newcomers come to a set of active clients': { ways: 1, present: [active(3)], threads: [[1], [2]] },
};

/** Two million states, minutes: run with METRICSSTREAM_MODEL=full. */
const LARGE: Readonly<Record<string, Scenario>> = {
  'a thread inserts a client, and another one charges it and a third client': {
    ways: 2,
    present: [idle(3)],
    threads: [[1], [1, 3]],
  },
};

describe('the lock-free table under every interleaving', async () => {
  const { LockFreeTable, onRead } = await importTable();
  const scenarios = process.env.METRICSSTREAM_MODEL === 'full' ? { ...SCENARIOS, ...LARGE } : SCENARIOS;
  for (const [name, scenario] of Object.entries(scenarios)) {
    it(`gives each client at most one slot and loses no charge when ${name}`, (t) => {
      const { states, ends } = explore(() => start(LockFreeTable, scenario), onRead, STEPS_MAX);
      t.diagnostic(`${states} states, ${ends} ends`);
      assert.ok(ends > 1);
    });
  }
});

/** Defects, each with the scenario that reveals it. */
const DEFECTS: Readonly<Record<string, readonly [code: string, defect: string, scenario: string]>> = {
  'an insertion that ignores other insertions': [
    'set + VERSION, version, pending) !== version',
    'set + VERSION, Atomics.load(i32, set + VERSION), pending) === pending',
    'two threads insert one client',
  ],
  'an eviction that ignores charges': [
    'if (seen !== victimBucket)',
    'Atomics.store(i32, slot + BUCKET, victimBucket | FROZEN);\n        if (seen === -7)',
    'an idle client returns while a newcomer evicts it',
  ],
  'a charge that ignores other charges': [
    'bucket, next) === bucket',
    'Atomics.load(i32, slot + BUCKET), next) !== -7',
    'two threads charge one client',
  ],
};

describe('the exploration', () => {
  for (const [name, [code, defect, scenario]] of Object.entries(DEFECTS)) {
    it(`finds ${name}`, async () => {
      const { LockFreeTable, onRead } = await importTable((source) => {
        assert.ok(source.includes(code), code);
        return source.replace(code, defect);
      });
      const run = () => explore(() => start(LockFreeTable, SCENARIOS[scenario]!), onRead, STEPS_MAX);
      assert.throws(run, /^Error: schedule [01]+$/);
    });
  }
});
