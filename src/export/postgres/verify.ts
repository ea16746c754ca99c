/**
 * Compares log and tables commit range by commit range: every commit up to the cursor in exactly one range, and the rows
 * of each range equal to the lines of its commits.
 *
 * The rows of a range are those of the transaction that stored it. A restored dump has lost the transactions: its ranges
 * are compared as one.
 */
import type pg from 'pg';
import { CommitReader, type LogCommit, placeAfter, placeText } from '../../storage/commit-reader.ts';
import { nodeFileOps } from '../../storage/file-ops.ts';
import { readLogRecord } from '../../storage/log-record.ts';
import { gapText } from '../../storage/segment-reader.ts';
import { lineCount, partsOf } from '../parts.ts';
import { createPool, placeOf, sinkError } from './connection.ts';
import {
  type AppliedRange,
  otherTransactions,
  type Quarantine,
  readQuarantine,
  readRanges,
  readSums,
} from './ledger.ts';
import { type MergedMetrics, mergedDifference, readMergedMetrics } from './merged-ranges.ts';
import type { PostgresOptions } from './options.ts';
import { RangeSum, seriesSum } from './range-sum.ts';
import { withClient } from './row-store.ts';
import { type NewSeries, Rows, scanCommit } from './rows.ts';
import type { Layout } from './schema.ts';
import { readSchema } from './schema-state.ts';
import { SeriesCache } from './series-cache.ts';
import { unstorable } from './series-table.ts';

const CACHE_SERIES = 65_536;
const NEWLINE = 0x0a;

interface SinkProblem {
  /** Where in the log. */
  readonly place: string;
  readonly text: string;
}

export interface SinkComparison {
  readonly place: string;
  readonly log: string;
  /** The last commit that the sink holds. */
  readonly cursor: number;
  /** Compared. */
  readonly commits: number;
  readonly metrics: number;
  readonly quarantined: number;
  /** Of the log, behind the cursor. */
  readonly notYetShipped: number;
  /** Transactions with commits that are damaged or no longer in the log. */
  readonly notCompared: number;
  /** The first commit that the sink holds; 0 if it holds none. */
  readonly first: number;
  /** Ranges that have lost their transactions in a restored dump were compared as one. */
  readonly asWhole: boolean;
  readonly problems: readonly SinkProblem[];
}

export interface CompareOptions {
  readonly dataDir: string;
  readonly log: string;
  readonly postgres: PostgresOptions;
  readonly onProgress: (commit: number, of: number) => void;
}

/** @throws SinkError when the tables cannot be read */
export async function compareWithPostgres(url: URL, options: CompareOptions): Promise<SinkComparison> {
  const place = placeOf(url);
  const pool = createPool(url, options.postgres, 'metricsstream verify');
  try {
    const tables = await withClient(pool, (client) => readTables(client, place, options.log));
    const comparison = new Comparison(options, tables);
    await comparison.readLog();
    return comparison.result(place);
  } catch (error) {
    throw sinkError(place, error);
  } finally {
    await pool.end();
  }
}

interface Tables {
  readonly layout: Layout;
  readonly droppedBeforeMs: number;
  readonly cursor: number;
  readonly ranges: readonly AppliedRange[];
  readonly sums: ReadonlyMap<string, RangeSum>;
  readonly others: ReadonlyMap<string, number>;
  readonly quarantine: Quarantine;
  readonly merged: MergedMetrics;
}

/** One snapshot, although an exporter may be at work. */
async function readTables(client: pg.ClientBase, place: string, log: string): Promise<Tables> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await client.query('SET LOCAL statement_timeout = 0');
  const { layout, droppedBeforeMs } = await readSchema(client, place, null);
  const { rows } = await client.query<{ commit: string }>('SELECT commit FROM ms_cursor WHERE log = $1', [
    log,
  ]);
  const tables = {
    layout,
    droppedBeforeMs,
    cursor: Number(rows[0]?.commit ?? 0),
    ranges: await readRanges(client, log),
    sums: await readSums(client, layout),
    others: await otherTransactions(client, log),
    quarantine: await readQuarantine(client, log),
    merged: await readMergedMetrics(client, log),
  };
  await client.query('COMMIT');
  return tables;
}

/** The sum of the log for one transaction. */
interface Expected {
  readonly sum: RangeSum;
  readonly first: number;
  last: number;
  /** As the sink has noted. */
  metrics: number;
  /** Where its first commit is; '' if the log no longer has it. */
  place: string;
  /** Some of its commits are damaged or deleted here. */
  isPartial: boolean;
  readonly isMerged: boolean;
}

class Comparison {
  private readonly options: CompareOptions;
  private readonly tables: Tables;
  private readonly cache = new SeriesCache(CACHE_SERIES);
  private readonly problems: SinkProblem[] = [];
  private readonly expected = new Map<string, Expected>();
  private commits = 0;
  private metrics = 0;
  private quarantined = 0;
  private notYetShipped = 0;
  private nextRange = 0;
  private firstRead = 0;
  private readonly maker = {
    make: (cache: SeriesCache, slot: number, { name, type, tags }: NewSeries): void => {
      const reason = unstorable(name, tags);
      if (reason !== null) cache.setPayload(slot, reason);
      cache.ids[slot] = reason === null ? seriesSum(this.tables.layout, name, type, tags) : 0;
    },
  };

  constructor(options: CompareOptions, tables: Tables) {
    this.options = options;
    this.tables = tables;
    this.checkRanges();
  }

  /** Each range begins behind the one before, and the last one ends at the cursor. */
  private checkRanges(): void {
    const { ranges, cursor } = this.tables;
    let last = (ranges[0]?.first ?? cursor + 1) - 1;
    for (const range of ranges) {
      if (range.first > last + 1)
        this.report('ms_applied', `${gapText(last + 1, range.first - 1)} in the sink`);
      // Parts of one commit are different ones: the key of the table includes the part.
      if (range.first <= last && range.part <= 1)
        this.report(
          'ms_applied',
          `commits ${range.first} to ${Math.min(last, range.last)} are in the sink twice`,
        );
      last = Math.max(last, range.last);
      const known = this.expected.get(range.transaction);
      if (known !== undefined) {
        known.last = range.last;
        known.metrics += range.metrics;
      } else {
        const { first, last, metrics, isMerged } = range;
        const rest = { place: '', isPartial: false, isMerged };
        this.expected.set(range.transaction, { sum: new RangeSum(), first, last, metrics, ...rest });
      }
    }
    if (last < cursor)
      this.report(
        'ms_cursor',
        `${gapText(last + 1, cursor)} in the sink, although its cursor is behind them`,
      );
    if (last > cursor)
      this.report('ms_cursor', `the cursor is at commit ${cursor}, the sink holds commits up to ${last}`);
  }

  private report(place: string, text: string): void {
    this.problems.push({ place, text });
  }

  async readLog(): Promise<void> {
    const { dataDir, onProgress } = this.options;
    const { ranges, cursor } = this.tables;
    const recorded = readLogRecord(nodeFileOps, dataDir).record?.commit ?? 0;
    let last = cursor;
    const after = (ranges[0]?.first ?? cursor + 1) - 1;
    // Commits before the first range were never meant for this sink.
    const reader = new CommitReader(dataDir, { place: placeAfter(dataDir, after) });
    for await (const item of reader.pass()) {
      if (item.kind === 'commit') last = Math.max(last, item.commit);
      if (item.kind === 'commit' && item.commit > after) {
        this.firstRead ||= item.commit;
        if (item.commit <= cursor) this.addCommit(item);
        else this.notYetShipped++;
        onProgress(item.commit, cursor);
      } else if (item.kind === 'damaged' && item.last > after) {
        this.damaged(item.first, item.last);
      } else if (item.kind === 'gap') {
        this.damaged(item.after + 1, item.commit - 1);
        if (this.firstRead > 0) this.report(placeText(item.segment, item.offset), `${item.text} in the log`);
      }
    }
    const deleted = readLogRecord(nodeFileOps, dataDir).record?.deletedCommit ?? 0;
    last = Math.max(last, deleted);
    if (recorded > last) this.report('log.json', `${gapText(last + 1, recorded)} in the log and in the sink`);
    const first = this.firstRead || cursor + 1;
    this.markPartial(after + 1, first - 1);
  }

  /** The sink has the commits if they were sound when they were shipped. */
  private damaged(first: number, last: number): void {
    const { damaged } = this.tables.quarantine;
    if (!damaged.some((range) => range.first <= first && range.last >= last)) this.markPartial(first, last);
  }

  private markPartial(first: number, last: number): void {
    for (const expected of this.expected.values())
      if (expected.first <= last && expected.last >= first) expected.isPartial = true;
  }

  private addCommit(commit: LogCommit): void {
    const { ranges, quarantine } = this.tables;
    while (this.nextRange < ranges.length && ranges[this.nextRange]!.last < commit.commit) this.nextRange++;
    const range = ranges[this.nextRange];
    // A gap of the ranges is reported already.
    if (range === undefined || range.first > commit.commit) return;
    const quarantined = quarantine.lines.get(commit.commit);
    if (range.part > 0) this.addParts(commit, quarantined);
    else this.addLines(range, commit, quarantined);
    this.commits++;
  }

  /** Each part of a large commit may be in a transaction of its own. */
  private addParts(commit: LogCommit, quarantined: ReadonlySet<number> | undefined): void {
    const { ranges } = this.tables;
    const stored: AppliedRange[] = [];
    for (let k = this.nextRange; ranges[k]?.first === commit.commit; k++) stored.push(ranges[k]!);
    let firstLine = 0;
    const parts = partsOf(commit.lines);
    for (const [index, lines] of parts.entries()) {
      const part = index + 1;
      const range = stored.find((found) => found.part === part);
      const count = lineCount(lines);
      const place = placeText(commit.segment, commit.offset);
      if (range === undefined)
        this.report(
          place,
          `part ${part} of ${parts.length} of commit ${commit.commit} is missing in the sink`,
        );
      else
        this.addLines(
          range,
          { ...commit, lines: Buffer.from(lines), lineCount: count },
          within(quarantined, firstLine, count),
        );
      firstLine += count;
    }
  }

  private addLines(
    range: AppliedRange,
    commit: LogCommit,
    quarantined: ReadonlySet<number> | undefined,
  ): void {
    const expected = this.expected.get(range.transaction)!;
    expected.place ||= placeText(commit.segment, commit.offset);
    const rows = this.rowsOf(commit, quarantined);
    expected.sum.addRows(rows);
    this.metrics += rows.count;
  }

  private rowsOf(commit: LogCommit, quarantined: ReadonlySet<number> | undefined): Rows {
    this.quarantined += quarantined?.size ?? 0;
    const lines = quarantined === undefined ? commit.lines : without(commit.lines, quarantined);
    const rows = new Rows(commit.lineCount);
    scanCommit(rows, 0, { ...commit, lines }, this.cache, this.maker);
    for (const { line, reason } of rows.quarantined)
      this.report(
        placeText(commit.segment, commit.offset),
        `line ${line} of commit ${commit.commit} is missing from ms_quarantine: ${reason}`,
      );
    keepFrom(rows, this.tables.droppedBeforeMs);
    return rows;
  }

  result(place: string): SinkComparison {
    const asWhole = this.compareRows();
    const { commits, metrics, quarantined, notYetShipped, problems } = this;
    const notCompared = [...this.expected.values()].filter(({ isPartial }) => isPartial).length;
    const { log } = this.options;
    const { cursor, ranges } = this.tables;
    return {
      place,
      log,
      cursor,
      first: ranges[0]?.first ?? 0,
      commits,
      metrics,
      quarantined,
      notYetShipped,
      notCompared,
      asWhole,
      problems,
    };
  }

  /** Compares the rows of each transaction, and as one those that lost theirs. Returns whether there are such. */
  private compareRows(): boolean {
    const { sums, others, merged, droppedBeforeMs } = this.tables;
    const rest = new RangeSum();
    for (const [transaction, sum] of sums)
      if (this.expected.has(transaction) === others.has(transaction)) rest.add(sum);
    // A dump is restored in one transaction for all logs, or in one for each table.
    const isLost = (transaction: string): boolean =>
      (this.expected.has(transaction) && others.has(transaction)) ||
      (rest.count > 0 && !sums.has(transaction));
    const counts = { own: merged.own, others: merged.others };
    for (const [transaction, metrics] of others) if (isLost(transaction)) counts.others += metrics;
    const ofLost = new RangeSum();
    let [hasAll, asWhole] = [true, false];
    for (const [transaction, { sum, first, last, metrics, place, isPartial, isMerged }] of this.expected) {
      if (isMerged || isLost(transaction)) {
        ofLost.add(sum);
        hasAll &&= !isPartial;
        if (isMerged) continue;
        counts.own += metrics;
        asWhole = true;
      } else if (!isPartial) {
        const difference = sum.difference(sums.get(transaction) ?? new RangeSum());
        if (difference !== null)
          this.report(place || 'ms_applied', `commits ${first} to ${last}: ${difference}`);
      }
    }
    const isReduced = droppedBeforeMs !== Number.NEGATIVE_INFINITY;
    const difference = mergedDifference({ metrics: counts, log: hasAll ? ofLost : null, rest, isReduced });
    if (difference !== null) this.report('the sink', difference);
    return asWhole;
  }
}

/** Numbers of lines counted from `from`, of those in a part of `count` lines. */
function within(
  lines: ReadonlySet<number> | undefined,
  from: number,
  count: number,
): ReadonlySet<number> | undefined {
  if (lines === undefined) return undefined;
  return new Set([...lines].map((line) => line - from).filter((line) => line >= 0 && line < count));
}

/** Lines of a commit without some, by their index. */
function without(lines: Buffer, left: ReadonlySet<number>): Buffer {
  const kept: Buffer[] = [];
  for (let at = 0, index = 0; at < lines.length; index++) {
    const end = lines.indexOf(NEWLINE, at) + 1;
    if (!left.has(index)) kept.push(lines.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}

/** Drops rows that retention has dropped from the tables. */
function keepFrom(rows: Rows, fromMs: number): void {
  const { times, values, series } = rows;
  let kept = 0;
  for (let row = 0; row < rows.count; row++) {
    if (times[row]! < fromMs) continue;
    times[kept] = times[row]!;
    values[kept] = values[row]!;
    series[kept] = series[row]!;
    kept++;
  }
  rows.count = kept;
}
