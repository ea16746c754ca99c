/**
 * The order of a batch's rows in its files: by day, then by series, then by time.
 *
 * Rows of a series lie together, so that names and tags compress to almost nothing, and times and commits to their small
 * differences. Rows arrive nearly in the order of time: a counting sort by series keeps that order.
 */
import { DAY_MS } from '../config/units.ts';
import type { MetricRows } from './metric-rows.ts';

/** The partition of days that have no file of their own. */
const OTHER = 'other';
/** A batch writes at most this many files. Timestamps of many days at once share the last one. */
const FILES_MAX = 16;
/** Days of the years 0 to 9999, which have dates of four digits. */
const FIRST_DAY = Date.parse('0000-01-01') / DAY_MS;
const LAST_DAY = Date.parse('9999-12-31') / DAY_MS;

/** The rows of one file. */
export interface DayRows {
  /** `2026-11-28`, or `other`. */
  readonly date: string;
  /** Rows in their order in the file. */
  readonly order: Int32Array;
}

export function orderByDay(rows: MetricRows): DayRows[] {
  const ranks = ranksOf(rows);
  return filesOf(rows)
    .sort((a, b) => (a.date < b.date ? -1 : 1))
    .map(({ date, order }) => ({ date, order: sortedBySeries(rows, ranks, order) }));
}

/** The rows of each file, as they arrived. */
function filesOf({ timeMs, count }: MetricRows): DayRows[] {
  let min = timeMs[0]!;
  let max = min;
  for (let row = 1; row < count; row++) {
    min = Math.min(min, timeMs[row]!);
    max = Math.max(max, timeMs[row]!);
  }
  if (dayOf(min) === dayOf(max)) {
    const order = new Int32Array(count);
    for (let row = 0; row < count; row++) order[row] = row;
    return [{ date: hasDate(dayOf(min)) ? dateOf(dayOf(min)) : OTHER, order }];
  }
  const days = timeMs.subarray(0, count).map(dayOf);
  const counts = new Map<number, number>();
  for (const day of days) counts.set(day, (counts.get(day) ?? 0) + 1);
  const dates = datesOf(counts);
  const sizes = new Map<string, number>();
  for (const [day, size] of counts) {
    const date = dates.get(day) ?? OTHER;
    sizes.set(date, (sizes.get(date) ?? 0) + size);
  }
  const files = [...sizes].map(([date, size]) => ({ date, order: new Int32Array(size) }));
  fillByDay(days, dates, new Map(files.map(({ date, order }) => [date, order])));
  return files;
}

function dayOf(timeMs: number): number {
  return Math.floor(timeMs / DAY_MS);
}

/** The days with files of their own: those with most rows. */
function datesOf(counts: ReadonlyMap<number, number>): Map<number, string> {
  const dated = [...counts].filter(([day]) => hasDate(day)).sort((a, b) => b[1] - a[1]);
  const needsOther = dated.length < counts.size || dated.length > FILES_MAX;
  return new Map(dated.slice(0, needsOther ? FILES_MAX - 1 : FILES_MAX).map(([day]) => [day, dateOf(day)]));
}

function fillByDay(
  days: Float64Array,
  dates: ReadonlyMap<number, string>,
  files: ReadonlyMap<string, Int32Array>,
): void {
  const next = new Map([...files.keys()].map((date) => [date, 0]));
  for (const [row, day] of days.entries()) {
    const date = dates.get(day) ?? OTHER;
    const at = next.get(date)!;
    files.get(date)![at] = row;
    next.set(date, at + 1);
  }
}

function hasDate(day: number): boolean {
  return day >= FIRST_DAY && day <= LAST_DAY;
}

function dateOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 'YYYY-MM-DD'.length);
}

/** The place of each series among the sorted ones. */
function ranksOf({ table }: MetricRows): Int32Array {
  const ranks = new Int32Array(table.size);
  for (const [rank, series] of table.sorted().entries()) ranks[series] = rank;
  return ranks;
}

function sortedBySeries({ series, timeMs }: MetricRows, ranks: Int32Array, list: Int32Array): Int32Array {
  const starts = new Int32Array(ranks.length + 1);
  for (let k = 0; k < list.length; k++) starts[ranks[series[list[k]!]!]! + 1]! += 1;
  for (let rank = 0; rank < ranks.length; rank++) starts[rank + 1]! += starts[rank]!;
  const next = starts.slice();
  const order = new Int32Array(list.length);
  for (let k = 0; k < list.length; k++) {
    const rank = ranks[series[list[k]!]!]!;
    order[next[rank]!] = list[k]!;
    next[rank]! += 1;
  }
  for (let rank = 0; rank < ranks.length; rank++) sortByTime(timeMs, order, starts[rank]!, starts[rank + 1]!);
  return order;
}

/** Rows of one series. Most are in order; a few are late by a little. */
function sortByTime(timeMs: Float64Array, order: Int32Array, from: number, to: number): void {
  let moves = 0;
  for (let end = from + 1; end < to; end++) {
    const row = order[end]!;
    const time = timeMs[row]!;
    let at = end;
    for (; at > from && timeMs[order[at - 1]!]! > time; at--) order[at] = order[at - 1]!;
    order[at] = row;
    moves += end - at;
    // Insertion is quadratic for rows in any order.
    if (moves > 8 * (to - from)) {
      order.subarray(from, to).sort((a, b) => timeMs[a]! - timeMs[b]! || a - b);
      return;
    }
  }
}
