/** Lines of the encoder become the same times, values and series that JSON.parse finds, whatever the cache holds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { flatChunks, flatPayload, seriesChunks } from '../../src/export/postgres/copy-format.ts';
import { type NewSeries, Rows, scanCommit } from '../../src/export/postgres/rows.ts';
import { SeriesCache } from '../../src/export/postgres/series-cache.ts';
import { fingerprintOf } from '../../src/export/postgres/series-table.ts';
import type { LogCommit } from '../../src/storage/commit-reader.ts';

interface Line {
  readonly timestamp: number;
  readonly name: string;
  /** As a client wrote it. */
  readonly value: string;
  readonly type: string;
  readonly tags?: Readonly<Record<string, string>>;
}

const textOf = ({ timestamp, name, value, type, tags }: Line): string => {
  const tail = tags === undefined ? '' : `,"tags":${JSON.stringify(tags)}`;
  return `{"timestamp":${timestamp},"name":${JSON.stringify(name)},"value":${value},"type":"${type}"${tail}}\n`;
};

function commitOf(lines: readonly string[]): LogCommit {
  const text = Buffer.from(lines.join(''));
  const place = { segment: 1, offset: 0, bytes: text.length };
  return { kind: 'commit', commit: 1, crc32: 0, ...place, lineCount: lines.length, lines: text };
}

/** Scans into rows whose series are indexes of `seen`, which lists every series that was made. */
function scan(lines: readonly string[], cache: SeriesCache): { rows: Rows; seen: NewSeries[] } {
  const seen: NewSeries[] = [];
  const rows = new Rows(lines.length);
  scanCommit(rows, 0, commitOf(lines), cache, {
    make: (made, slot, series) => {
      seen.push(series);
      made.ids[slot] = seen.length;
    },
  });
  return { rows, seen };
}

const number = fc.oneof(
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => (Object.is(value, -0) ? '-0' : String(value))),
  fc.integer().map(String),
  fc
    .tuple(fc.bigInt({ min: 0n, max: 10n ** 20n }), fc.nat(10 ** 9))
    .map(([whole, part]) => `${whole}.${part}`),
  fc
    .tuple(fc.integer({ min: -99, max: 99 }), fc.integer({ min: -300, max: 300 }))
    .map(([m, e]) => `${m}.5E${e}`),
);
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
const line: fc.Arbitrary<Line> = fc.record(
  {
    timestamp: fc.integer({ min: -1e12, max: 8.64e15 }),
    name: fc.oneof(fc.constantFrom('cpu', 'a"b\\', 'é\u2028'), name),
    value: number,
    type: fc.constantFrom('gauge', 'counter', 'histogram', 'summary'),
    tags: fc.dictionary(fc.constantFrom('host', 'k"', '\\', 'région'), name, {
      maxKeys: 3,
      noNullPrototype: true,
    }),
  },
  { requiredKeys: ['timestamp', 'name', 'value', 'type'] },
);

describe('rows', () => {
  it('hold the time, value and series of each line', () => {
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 60 }), (lines) => {
        // Eight entries evict each other all the time.
        const { rows, seen } = scan(lines.map(textOf), new SeriesCache(8));
        assert.equal(rows.count, lines.length);
        for (const [row, { timestamp, value, name: lineName, type, tags = {} }] of lines.entries()) {
          assert.equal(rows.times[row], timestamp);
          assert.ok(Object.is(rows.values[row], Number(value)), `${value} became ${rows.values[row]}`);
          const series = seen[rows.series[row]! - 1]!;
          assert.deepEqual({ ...series, slot: 0 }, { name: lineName, type, tags, slot: 0 });
        }
      }),
      { numRuns: 300 },
    );
  });

  it('make a series once while the cache has room, and count hits, misses and evictions', () => {
    const cache = new SeriesCache(4_096);
    const lines = Array.from({ length: 1_000 }, (_, k) =>
      textOf({ timestamp: k, name: `m${k % 10}`, value: '1', type: 'gauge', tags: { host: `h${k % 3}` } }),
    );
    const { seen } = scan(lines, cache);
    assert.equal(seen.length, 30);
    assert.deepEqual(cache.stats, { hits: 970, misses: 30, evictions: 0 });
    const many = Array.from({ length: 10_000 }, (_, k) =>
      textOf({ timestamp: k, name: `n${k}`, value: '1', type: 'gauge' }),
    );
    scan(many, cache);
    assert.equal(cache.stats.misses, 10_030);
    assert.ok(cache.stats.evictions >= 10_030 - 4_096, `${cache.stats.evictions} evictions`);
  });

  it('remembers fewer series when their tags are long', () => {
    const cache = new SeriesCache(1_024);
    const long = 'x'.repeat(8_000);
    const lines = Array.from({ length: 1_024 }, (_, k) =>
      textOf({ timestamp: k, name: `n${k}`, value: '1', type: 'gauge', tags: { long } }),
    );
    for (const text of lines) {
      scan([text], cache);
      assert.ok(cache.bytes <= 1_024 * 1_024, `${cache.bytes} bytes`);
    }
    const { stats } = cache;
    assert.ok(
      stats.evictions >= 1_024 - 128 && stats.evictions < 1_024 - 100,
      `${stats.evictions} evictions`,
    );
    // Those that are left are the newest of their sets, so the last one is among them.
    scan(lines.slice(-1), cache);
    assert.equal(stats.hits, 1);
    cache.clear();
    assert.equal(cache.bytes, 0);
  });

  it('keep a line of another form for the quarantine, and go on behind it', () => {
    const good = textOf({ timestamp: 1, name: 'm', value: '2', type: 'gauge' });
    const { rows } = scan([good, '{"some":"thing else"}\n', good], new SeriesCache(8));
    assert.equal(rows.count, 2);
    assert.deepEqual(
      rows.quarantined.map(({ commit, line: index, reason, body }) => [
        commit,
        index,
        reason,
        body.toString(),
      ]),
      [[1, 1, 'it does not have the form of a line of this version', '{"some":"thing else"}']],
    );
  });

  it('keep a line whose texts or time are not those of the encoder for the quarantine', () => {
    const good = textOf({ timestamp: 1, name: 'm', value: '2', type: 'gauge' });
    const bad = [
      '{"timestamp":1,"name":"\\x","value":2,"type":"gauge"}\n',
      '{"timestamp":1,"name":"m","value":2,"type":gauge}\n',
      '{"timestamp":1,"name":"m","value":2,"type":7}\n',
      '{"timestamp":1,"name":"m","value":2,"type":"gauge","tags":null}\n',
      '{"timestamp":1,"name":"m","value":2,"type":"gauge","tags":{"k":1}}\n',
      `{"timestamp":${'9'.repeat(400)},"name":"m","value":2,"type":"gauge"}\n`,
    ];
    const cache = new SeriesCache(8);
    for (const text of [...bad, ...bad]) {
      const { rows } = scan([good, text, good], cache);
      assert.equal(rows.count, 2);
      assert.deepEqual(
        rows.quarantined.map(({ body }) => `${body}\n`),
        [text],
      );
    }
  });

  it('are copied as PostgreSQL reads them, over any number of chunks', () => {
    const rows = new Rows(20_000);
    for (let row = 0; row < 20_000; row++) {
      rows.times[row] = row === 0 ? -2e14 : 946_684_800_000 + row - 5;
      rows.series[row] = row === 1 ? 2 ** 40 + 7 : row;
      rows.values[row] = row / 3;
      rows.payloads[row] = flatPayload('m', 'gauge', { k: 'v' });
    }
    rows.count = 20_000;
    const stream = Buffer.concat([...seriesChunks(rows)]);
    assert.equal(stream.length, 19 + 20_000 * 38 + 2);
    const at = (row: number) => 19 + row * 38;
    assert.equal(stream.readBigInt64BE(at(0) + 6), (-200_000_000_000_000n - 946_684_800_000n) * 1_000n);
    assert.equal(stream.readBigInt64BE(at(1) + 6), -4_000n);
    assert.equal(stream.readBigInt64BE(at(1) + 18), 2n ** 40n + 7n);
    assert.equal(stream.readDoubleBE(at(19_999) + 30), 19_999 / 3);
    const flat = Buffer.concat([...flatChunks(rows)]);
    assert.equal(flat.length, 19 + 20_000 * (26 + rows.payloads[0]!.length) + 2);
    assert.equal(flat.readInt16BE(flat.length - 2), -1);
  });

  it('tell series apart by their fingerprints, whatever the order of tags', () => {
    const same = fingerprintOf('m', 'gauge', { a: '1', b: '2' });
    assert.deepEqual(fingerprintOf('m', 'gauge', { b: '2', a: '1' }), same);
    for (const other of [
      fingerprintOf('m', 'counter', { a: '1', b: '2' }),
      fingerprintOf('n', 'gauge', { a: '1', b: '2' }),
      fingerprintOf('m', 'gauge', { a: '12', b: '' }),
      fingerprintOf('m', 'gauge', { a: '1' }),
    ])
      assert.notDeepEqual(other, same);
  });
});
