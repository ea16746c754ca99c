/**
 * Exact sums over the rows of a file, which do not depend on their order: made from the lines before the file is
 * written, and by DuckDB from the file itself. If they are equal, no row is missing, doubled or changed in a column.
 */
import { type MetricRows, NOT_DECIMAL, POWERS } from './metric-rows.ts';

/** Integers as decimal text, since they may exceed 2^53. */
export interface RowSums {
  readonly lines: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly time: string;
  readonly commit: string;
  /** Of the integer parts, and of the fractions in units of 10^-15. */
  readonly whole: string;
  readonly fraction: string;
  /** Values that are not stored as integers: how many, and their range; 0 when there are none. */
  readonly doubles: number;
  readonly minDouble: number;
  readonly maxDouble: number;
  /** Characters of all names and types, and the number of all tags. */
  readonly nameChars: string;
  readonly typeChars: string;
  readonly tags: string;
}

/** Digits after the point in the unit of `fraction`. */
const FRACTION_DIGITS = POWERS.length - 1;
const LOW = 2 ** 26;

/** The exact sum of up to 2^26 integers below 2^53. */
class ExactSum {
  private high = 0;
  private low = 0;

  add(value: number): void {
    const high = Math.floor(value / LOW);
    this.high += high;
    this.low += value - high * LOW;
  }

  get total(): bigint {
    return BigInt(this.high) * BigInt(LOW) + BigInt(this.low);
  }
}

/** @param order rows of the file */
export function sumsOf(rows: MetricRows, order: Int32Array): RowSums {
  const { timeMs, commit, whole, fraction, decimals, series, table } = rows;
  const [times, commits, wholes] = [new ExactSum(), new ExactSum(), new ExactSum()];
  const fractions = POWERS.map(() => new ExactSum());
  const seriesLines = new Int32Array(table.size);
  let [minTimeMs, maxTimeMs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let [minDouble, maxDouble] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let doubles = 0;
  // In the order of arrival memory is read from one end to the other, which halves the time.
  const isWhole = order.length === rows.count;
  for (let at = 0; at < order.length; at++) {
    const row = isWhole ? at : order[at]!;
    const time = timeMs[row]!;
    times.add(time);
    if (time < minTimeMs) minTimeMs = time;
    if (time > maxTimeMs) maxTimeMs = time;
    commits.add(commit[row]!);
    seriesLines[series[row]!]! += 1;
    const digits = decimals[row]!;
    if (digits === NOT_DECIMAL) {
      doubles += 1;
      minDouble = Math.min(minDouble, whole[row]!);
      maxDouble = Math.max(maxDouble, whole[row]!);
    } else {
      wholes.add(whole[row]!);
      fractions[digits]!.add(fraction[row]!);
    }
  }
  const fractionSum = fractions.reduce(
    (sum, { total }, digits) => sum + total * 10n ** BigInt(FRACTION_DIGITS - digits),
    0n,
  );
  return {
    ...{ lines: order.length, minTimeMs, maxTimeMs },
    ...{ time: String(times.total), commit: String(commits.total) },
    ...{ whole: String(wholes.total), fraction: String(fractionSum) },
    ...{ doubles, minDouble: doubles === 0 ? 0 : minDouble, maxDouble: doubles === 0 ? 0 : maxDouble },
    ...textSums(rows, seriesLines),
  };
}

function textSums(
  { table }: MetricRows,
  seriesLines: Int32Array,
): Pick<RowSums, 'nameChars' | 'typeChars' | 'tags'> {
  let [nameChars, typeChars, tags] = [0, 0, 0];
  for (const [number, lines] of seriesLines.entries()) {
    if (lines === 0) continue;
    const series = table.series(number);
    nameChars += lines * [...series.name].length;
    typeChars += lines * series.type.length;
    tags += lines * Object.keys(JSON.parse(series.tagsJson) as object).length;
  }
  return { nameChars: String(nameChars), typeChars: String(typeChars), tags: String(tags) };
}

/** The same sums in SQL, in the order of RowSums; a SELECT list over the columns of archive files. */
export const SUMS_SQL = [
  'count(*)',
  'epoch_ms(min(time))',
  'epoch_ms(max(time))',
  'sum(epoch_ms(time))',
  'sum(commit)',
  'coalesce(sum(whole), 0)',
  // A product is below 10^FRACTION_DIGITS, because a fraction is less than its divisor.
  `coalesce(sum(fraction * (${POWERS[FRACTION_DIGITS]}::BIGINT // divisor)), 0)`,
  'count(value)',
  'coalesce(min(value), 0)',
  'coalesce(max(value), 0)',
  'sum(length(name))',
  'sum(length(type))',
  'sum(cardinality(tags))',
].join(', ');

/** A row that SUMS_SQL selected. */
export function sumsFromSql(row: readonly unknown[]): RowSums {
  const number = (index: number): number => Number(row[index]);
  const text = (index: number): string => String(row[index]);
  return {
    ...{ lines: number(0), minTimeMs: number(1), maxTimeMs: number(2), time: text(3), commit: text(4) },
    ...{ whole: text(5), fraction: text(6), doubles: number(7), minDouble: number(8), maxDouble: number(9) },
    ...{ nameChars: text(10), typeChars: text(11), tags: text(12) },
  };
}

/** The first difference, in words, or null. */
export function sumsDifference(expected: RowSums, found: RowSums): string | null {
  for (const [name, value] of Object.entries(expected)) {
    const other = found[name as keyof RowSums];
    if (value !== other) return `${name} is ${other}, must be ${value}`;
  }
  return null;
}
