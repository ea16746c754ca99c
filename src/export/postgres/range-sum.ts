/**
 * The sums by which log and tables are compared: a count, and an exclusive or of all times, values and series, and of a
 * hash of all three. They do not depend on the order of rows, never overflow, and any lost, changed or added row
 * changes them. Only the hash tells that two rows have exchanged their values.
 */
import { createHash } from 'node:crypto';
import { Int8Hash } from './int8-hash.ts';
import type { NewSeries, Rows } from './rows.ts';
import type { Layout } from './schema.ts';
import { fingerprintOf } from './series-table.ts';

const WORD = 2 ** 32;
const COLUMNS = ['times', 'values', 'series'];
/** Of the hash in the halves. */
const HASH = 2 * COLUMNS.length;

/** 48 bits of the fingerprint or of another hash, an exact double. */
const SERIES: Readonly<Record<Layout, string>> = {
  series: `('x' || encode(substr(fingerprint, 1, 6), 'hex'))::bit(48)::int8`,
  flat: `('x' || left(md5(name || ' ' || type || ' ' || tags::text), 12))::bit(48)::int8`,
};
const SUM_BYTES = 6;
const TIME = '(extract(epoch FROM time) * 1000)::int8';
const VALUE = `('x' || encode(float8send(value), 'hex'))::bit(64)::int8`;

/** The aggregates that compute the same in the database, as `times`, `values`, `series` and `hash`. */
export function sumColumns(layout: Layout): string {
  const series = SERIES[layout];
  return `bit_xor(${TIME}) AS times, bit_xor(${VALUE}) AS "values", bit_xor(${series}) AS series,
          bit_xor(hashint8extended(${series}, hashint8extended(${VALUE}, ${TIME}))) AS hash`;
}

/** Of a series, as the database computes it. */
export function seriesSum(layout: Layout, name: string, type: string, tags: NewSeries['tags']): number {
  if (layout === 'series') return fingerprintOf(name, type, tags).readUIntBE(0, SUM_BYTES);
  return createHash('md5')
    .update(`${name} ${type} ${jsonbText(tags)}`)
    .digest()
    .readUIntBE(0, SUM_BYTES);
}

/** As PostgreSQL prints a jsonb: shorter keys first. */
function jsonbText(tags: NewSeries['tags']): string {
  const keys = Object.keys(tags).map((key) => ({ key, bytes: Buffer.from(key) }));
  keys.sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes));
  return `{${keys.map(({ key }) => `${JSON.stringify(key)}: ${JSON.stringify(tags[key])}`).join(', ')}}`;
}

export class RangeSum {
  count = 0;
  /** High and low halves. */
  private readonly halves = new Int32Array(HASH + 2);

  addRows({ count, times, values, series }: Rows): void {
    const { halves } = this;
    const words = new Int32Array(values.buffer, values.byteOffset, 2 * count);
    const hash = new Int8Hash();
    this.count += count;
    for (let row = 0; row < count; row++) {
      const [time, one] = [times[row]!, series[row]!];
      const [timeHigh, seriesHigh] = [Math.floor(time / WORD), Math.floor(one / WORD)];
      const [timeLow, seriesLow] = [time - timeHigh * WORD, one - seriesHigh * WORD];
      const [valueHigh, valueLow] = [words[2 * row + 1]!, words[2 * row]!];
      halves[0]! ^= timeHigh;
      halves[1]! ^= timeLow;
      halves[2]! ^= valueHigh;
      halves[3]! ^= valueLow;
      halves[4]! ^= seriesHigh;
      halves[5]! ^= seriesLow;
      hash.seed(timeHigh, timeLow);
      hash.add(valueHigh, valueLow);
      hash.add(seriesHigh, seriesLow);
      halves[HASH]! ^= hash.high;
      halves[HASH + 1]! ^= hash.low;
    }
  }

  /** Adds sums as the database computed them: of times, values, series and hashes. */
  addSums(count: number, sums: readonly bigint[]): void {
    this.count += count;
    for (const [index, sum] of sums.entries()) {
      this.halves[2 * index]! ^= Number(BigInt.asIntN(32, sum >> 32n));
      this.halves[2 * index + 1]! ^= Number(BigInt.asIntN(32, sum));
    }
  }

  add(other: RangeSum): void {
    this.count += other.count;
    for (const [index, half] of other.halves.entries()) this.halves[index]! ^= half;
  }

  /** How this sum of the log differs from that of the sink, or null. */
  difference(sink: RangeSum): string | null {
    if (sink.count < this.count) return `the sink lacks ${this.count - sink.count} of ${this.count} metrics`;
    if (sink.count > this.count)
      return `the sink has ${sink.count - this.count} metrics more than the log's ${this.count}`;
    const differs = (at: number): boolean =>
      this.halves[at] !== sink.halves[at] || this.halves[at + 1] !== sink.halves[at + 1];
    const differing = COLUMNS.filter((_, index) => differs(2 * index));
    if (differing.length > 0) return `the ${differing.join(' and ')} of ${this.count} metrics differ`;
    return differs(HASH) ? `${this.count} metrics have exchanged times, values or series` : null;
  }
}
