/**
 * The sums by which log and tables are compared: a count, and an exclusive or of all times, values and series. It does
 * not depend on the order of rows, never overflows, and any lost, changed or added row changes it.
 */
import type { Rows } from './rows.ts';

const WORD = 2 ** 32;

/** The columns that compute the same in the database, for `bit_xor`. */
export const SUM_COLUMNS = {
  time: '(extract(epoch FROM time) * 1000)::int8',
  value: `('x' || encode(float8send(value), 'hex'))::bit(64)::int8`,
  /** 48 bits of the fingerprint, an exact double. */
  series: `('x' || encode(substr(fingerprint, 1, 6), 'hex'))::bit(48)::int8`,
} as const;

export class RangeSum {
  count = 0;
  /** High and low halves. */
  private readonly halves = new Int32Array(6);

  addRows({ count, times, values, series }: Rows): void {
    const { halves } = this;
    const words = new Int32Array(values.buffer, values.byteOffset, 2 * count);
    this.count += count;
    for (let row = 0; row < count; row++) {
      addNumber(halves, 0, times[row]!);
      halves[2]! ^= words[2 * row + 1]!;
      halves[3]! ^= words[2 * row]!;
      addNumber(halves, 4, series[row]!);
    }
  }

  /** Adds sums as the database computed them. */
  addSums(count: number, time: bigint, value: bigint, series: bigint): void {
    this.count += count;
    for (const [index, sum] of [time, value, series].entries()) {
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
    const differing = ['times', 'values', 'series'].filter((_, index) => {
      const at = 2 * index;
      return this.halves[at] !== sink.halves[at] || this.halves[at + 1] !== sink.halves[at + 1];
    });
    return differing.length === 0 ? null : `the ${differing.join(' and ')} of ${this.count} metrics differ`;
  }
}

function addNumber(halves: Int32Array, at: number, number: number): void {
  const high = Math.floor(number / WORD);
  halves[at]! ^= high;
  halves[at + 1]! ^= number - high * WORD;
}
