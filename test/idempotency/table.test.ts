import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CLAIMED, IN_FLIGHT_ELSEWHERE, NO_ENTRY, REPLAY, REUSED } from '../../src/idempotency/codes.ts';
import { createKeyTable, KeyTable } from '../../src/idempotency/table.ts';

const NOW_MS = 1_800_000_000_000;
const WINDOW_MS = 60_000;

/** The hash of key `k`: all in the first set of a table, or spread like hashes. */
const inFirstSet = (k: number): Int32Array => Int32Array.of(0, k, 0, 0);
const spread = (k: number): Int32Array => Int32Array.of(Math.imul(k, 0x9e3779b1), k, 0, 0);

function tableOf(keys: number, windowMs = WINDOW_MS): KeyTable {
  return new KeyTable(createKeyTable({ keys, windowMs }));
}

/** Claims a key and settles it as stored. */
function store(table: KeyTable, hash: Int32Array, crc = 0, unixMs = NOW_MS): void {
  assert.equal(table.claim(hash, crc, unixMs), CLAIMED);
  table.settle(table.entry, true);
}

describe('a key', () => {
  it('is in flight, then stored, for its body only', () => {
    const table = tableOf(64);
    assert.equal(table.claim(spread(1), 7, NOW_MS), CLAIMED);
    const { entry } = table;
    assert.equal(table.claim(spread(1), 7, NOW_MS), IN_FLIGHT_ELSEWHERE);
    assert.equal(table.claim(spread(1), 8, NOW_MS), REUSED);
    table.settle(entry, true);
    assert.equal(table.claim(spread(1), 7, NOW_MS), REPLAY);
    assert.equal(table.claim(spread(1), 8, NOW_MS), REUSED);
    assert.equal(table.claim(spread(2), 8, NOW_MS), CLAIMED);
  });

  it('is free again when nothing was stored', () => {
    const table = tableOf(64);
    assert.equal(table.claim(spread(1), 7, NOW_MS), CLAIMED);
    table.settle(table.entry, false);
    assert.equal(table.claim(spread(1), 8, NOW_MS), CLAIMED);
  });

  it('differs from others in every word of its hash', () => {
    const table = tableOf(64);
    const hashes = [0, 1, 2, 3].map((word) => Int32Array.from({ length: 4 }, (_, k) => (k === word ? 1 : 0)));
    for (const hash of hashes) store(table, hash);
    for (const hash of hashes) assert.equal(table.claim(hash, 0, NOW_MS), REPLAY);
  });

  it('is remembered to the end of its window, and while it is in flight for ever', () => {
    const table = tableOf(64);
    store(table, spread(1));
    assert.equal(table.claim(spread(2), 0, NOW_MS), CLAIMED);
    const late = NOW_MS + WINDOW_MS;
    assert.equal(table.claim(spread(1), 0, late), REPLAY);
    assert.equal(table.claim(spread(1), 0, late + 1_000), CLAIMED);
    assert.equal(table.claim(spread(2), 0, late + 1e9), IN_FLIGHT_ELSEWHERE);
  });

  it('is remembered while the clock is set back', () => {
    const table = tableOf(64);
    store(table, spread(1));
    assert.equal(table.claim(spread(1), 0, NOW_MS - 3_600_000), REPLAY);
  });
});

describe('a full set', () => {
  it('forgets its oldest stored key first, and says so', () => {
    const table = tableOf(64);
    const { capacity } = table.census();
    for (let k = 0; k < capacity; k++) {
      // The second half first: age is not the order of insertion.
      const age = (k + capacity / 2) % capacity;
      store(table, inFirstSet(age), 0, NOW_MS + age * 10);
      assert.ok(!table.hasEvicted);
    }
    store(table, inFirstSet(capacity), 0, NOW_MS + capacity * 10);
    assert.ok(table.hasEvicted);
    assert.equal(table.claim(inFirstSet(1), 0, NOW_MS), REPLAY, 'ages within a second count as one');
    assert.equal(table.census().keys, capacity);
  });

  it('never forgets a key in flight: with nothing else to forget, a new one gets no entry', () => {
    const table = tableOf(64);
    const { capacity } = table.census();
    const entries = Array.from({ length: capacity }, (_, k) => {
      assert.equal(table.claim(inFirstSet(k), 0, NOW_MS), CLAIMED);
      return table.entry;
    });
    assert.equal(new Set(entries).size, capacity);
    assert.equal(table.claim(inFirstSet(capacity), 0, NOW_MS), NO_ENTRY);
    table.settle(entries[5]!, false);
    assert.equal(table.claim(inFirstSet(capacity), 0, NOW_MS), CLAIMED);
  });
});

describe('the table', () => {
  it('remembers as many keys as configured, nearly all of them under any hashes', () => {
    const keys = 10_000;
    const table = tableOf(keys);
    let evicted = 0;
    for (let k = 0; k < keys; k++) {
      store(table, spread(k));
      if (table.hasEvicted) evicted++;
    }
    assert.ok(evicted <= keys / 1_000, `${evicted} evicted`);
    assert.ok(table.census().capacity < 2 * keys);
  });

  it('stays within its memory whatever number of keys come', () => {
    const table = tableOf(1_000);
    const { capacity } = table.census();
    for (let k = 0; k < 50_000; k++) store(table, spread(k));
    assert.equal(table.census().capacity, capacity);
    assert.ok(table.census().keys <= capacity);
    assert.equal(table.claim(spread(49_999), 0, NOW_MS), REPLAY);
  });
});

describe('restored keys', () => {
  it('are remembered for the rest of their window', () => {
    const table = tableOf(64);
    assert.ok(table.restore(spread(1), 7, NOW_MS - 50_000, NOW_MS));
    assert.ok(!table.restore(spread(2), 7, NOW_MS - WINDOW_MS - 1_000, NOW_MS));
    assert.equal(table.claim(spread(1), 7, NOW_MS + 10_000), REPLAY);
    assert.equal(table.claim(spread(1), 7, NOW_MS + 11_000), CLAIMED);
    assert.equal(table.claim(spread(2), 8, NOW_MS), CLAIMED);
  });

  it('keep the latest use of a key and the latest keys, in whatever order they are found', () => {
    const table = tableOf(64);
    assert.ok(table.restore(inFirstSet(0), 2, NOW_MS, NOW_MS));
    assert.ok(!table.restore(inFirstSet(0), 1, NOW_MS - 5_000, NOW_MS));
    assert.equal(table.claim(inFirstSet(0), 2, NOW_MS), REPLAY);
    const { capacity } = table.census();
    for (let k = 1; k < capacity; k++) assert.ok(table.restore(inFirstSet(k), 0, NOW_MS - 10_000, NOW_MS));
    assert.ok(!table.restore(inFirstSet(capacity), 0, NOW_MS - 20_000, NOW_MS));
    assert.ok(table.restore(inFirstSet(capacity), 0, NOW_MS, NOW_MS));
    assert.equal(table.claim(inFirstSet(0), 2, NOW_MS), REPLAY);
  });
});
