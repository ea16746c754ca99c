/**
 * Ids of new series: found in `ms_series` or added to it, in a transaction of their own before that of the metrics.
 *
 * Two exporters may add the same series at once. All insert in the order of fingerprints, so neither waits for the other
 * in a circle. A budget for each metric name bounds the table, and names the tag that uses it up.
 */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Logger } from '../../base/log.ts';
import { requireAll } from './kept-out.ts';
import type { CommitLines, NewSeries, Rows, SeriesMaker } from './rows.ts';
import type { SeriesCache } from './series-cache.ts';
import { BEGIN } from './transaction.ts';

const FINGERPRINT_BYTES = 16;
/** Series in one statement. */
const BATCH = 5_000;

interface Waiting extends NewSeries {
  readonly fingerprint: Buffer;
  id: number;
  /** Why its metrics go to the quarantine, or ''. */
  refusal: string;
}

/** A hash of name, type and tags; the order of the tags does not matter. */
export function fingerprintOf(name: string, type: string, tags: Readonly<Record<string, string>>): Buffer {
  const sorted = Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256').update(JSON.stringify([name, type, sorted]));
  return hash.digest().subarray(0, FINGERPRINT_BYTES);
}

/** PostgreSQL has no character 0 in text. */
export function unstorable(name: string, tags: Readonly<Record<string, string>>): string | null {
  const hasNul = name.includes('\0') || Object.entries(tags).some((pair) => pair.join('').includes('\0'));
  return hasNul ? 'a text with the character 0, which PostgreSQL cannot store' : null;
}

export class SeriesTable implements SeriesMaker {
  seriesCreated = 0;
  private readonly perName: number;
  private readonly logger: Logger;
  private waiting: Waiting[] = [];
  /** Names over their budget, with the text that says so. */
  private readonly exhausted = new Map<string, string>();

  constructor(perName: number, logger: Logger) {
    this.perName = perName;
    this.logger = logger;
  }

  make(cache: SeriesCache, slot: number, series: NewSeries): void {
    const { name, type, tags } = series;
    const reason = unstorable(name, tags);
    if (reason !== null) {
      cache.ids[slot] = 0;
      cache.setPayload(slot, reason);
      return;
    }
    this.waiting.push({ ...series, fingerprint: fingerprintOf(name, type, tags), id: 0, refusal: '' });
    cache.ids[slot] = -this.waiting.length;
  }

  /** Before a range is scanned: forgets the series of the range before. */
  reset(): void {
    this.waiting = [];
  }

  get hasWaiting(): boolean {
    return this.waiting.length > 0;
  }

  /** Gives every series that waits its id, and puts the ids into the cache. Returns them by number, from 1. */
  async resolve(client: pg.ClientBase, cache: SeriesCache): Promise<Float64Array> {
    const { waiting } = this;
    for (let from = 0; from < waiting.length; from += BATCH)
      await this.resolveBatch(client, waiting.slice(from, from + BATCH));
    const ids = new Float64Array(waiting.length + 1);
    for (const [index, { id, refusal, slot }] of waiting.entries()) {
      const number = index + 1;
      ids[number] = id;
      // Another series may have taken the slot since.
      if (cache.ids[slot] !== -number) continue;
      cache.ids[slot] = id;
      if (refusal !== '') cache.setPayload(slot, refusal);
    }
    return ids;
  }

  /** The refusals of the last `resolve`, by number. */
  refusalOf(number: number): string {
    return this.waiting[number - 1]!.refusal;
  }

  private async resolveBatch(client: pg.ClientBase, batch: readonly Waiting[]): Promise<void> {
    await this.find(client, batch);
    const missing = batch.filter(({ id }) => id === 0);
    if (missing.length === 0) return;
    const allowed = await this.withinBudget(client, missing);
    if (allowed.length > 0) await this.insert(client, allowed);
    const isAllowed = new Set(allowed);
    // After the insert: the reason names the tag with the most values in the database.
    for (const series of missing)
      if (!isAllowed.has(series)) series.refusal = await this.refuse(client, series.name);
  }

  private async insert(client: pg.ClientBase, allowed: readonly Waiting[]): Promise<void> {
    const sorted = [...allowed].sort((a, b) => Buffer.compare(a.fingerprint, b.fingerprint));
    // A cached id must not outlive its row, even where the commits of metrics are asynchronous.
    await client.query(`${BEGIN}; SET LOCAL synchronous_commit = on`);
    const { rowCount } = await client.query(
      `INSERT INTO ms_series (fingerprint, name, type, tags)
       SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::jsonb[])
       ON CONFLICT (fingerprint) DO NOTHING`,
      [
        sorted.map(({ fingerprint }) => fingerprint),
        sorted.map(({ name }) => name),
        sorted.map(({ type }) => type),
        sorted.map(({ tags }) => JSON.stringify(tags)),
      ],
    );
    await client.query('COMMIT');
    this.seriesCreated += rowCount ?? 0;
    await this.find(client, sorted);
    requireAll({ rowCount: sorted.filter(({ id }) => id > 0).length }, sorted.length, 'ms_series');
  }

  private async find(client: pg.ClientBase, batch: readonly Waiting[]): Promise<void> {
    const { rows } = await client.query<{ fingerprint: Buffer; id: string }>(
      'SELECT fingerprint, id FROM ms_series WHERE fingerprint = ANY($1::bytea[])',
      [batch.map(({ fingerprint }) => fingerprint)],
    );
    const ids = new Map(rows.map(({ fingerprint, id }) => [fingerprint.toString('latin1'), Number(id)]));
    for (const series of batch) series.id = ids.get(series.fingerprint.toString('latin1')) ?? 0;
  }

  /** The series that the budgets of their names allow. */
  private async withinBudget(
    client: pg.ClientBase,
    missing: readonly Waiting[],
  ): Promise<readonly Waiting[]> {
    if (this.perName === 0) return missing;
    const open = missing.filter(({ name }) => !this.exhausted.has(name));
    const { rows } = await client.query<{ name: string; count: string }>(
      'SELECT name, count(*) FROM ms_series WHERE name = ANY($1) GROUP BY name',
      [[...new Set(open.map(({ name }) => name))]],
    );
    const counts = new Map(rows.map(({ name, count }) => [name, Number(count)]));
    const added = new Set<string>();
    return open.filter(({ name, fingerprint }) => {
      const key = fingerprint.toString('latin1');
      // The same series with its tags in another order.
      if (added.has(key)) return true;
      const count = counts.get(name) ?? 0;
      if (count >= this.perName) return false;
      counts.set(name, count + 1);
      added.add(key);
      return true;
    });
  }

  /** Why the database adds no further series of this name. */
  private async refuse(client: pg.ClientBase, name: string): Promise<string> {
    const known = this.exhausted.get(name);
    if (known !== undefined) return known;
    const { rows } = await client.query<{ key: string; values: string }>(
      `SELECT key, count(DISTINCT value) AS values FROM ms_series, jsonb_each_text(tags)
       WHERE name = $1 GROUP BY key ORDER BY 2 DESC, 1 LIMIT 1`,
      [name],
    );
    const [tag] = rows;
    const cause = tag === undefined ? '' : `: the tag ${JSON.stringify(tag.key)} has ${tag.values} values`;
    const text = `${JSON.stringify(name)} has used up its ${this.perName} series${cause}`;
    this.exhausted.set(name, text);
    this.logger.error(
      { name, tag: tag?.key },
      `${text}; metrics of further series go to ms_quarantine. Remove the tag, or raise --series-per-name`,
    );
    return text;
  }
}

/** Replaces the numbers of new series by their ids. Rows whose series was refused move to the quarantine. */
export function settleRows(
  rows: Rows,
  commits: readonly CommitLines[],
  ids: Float64Array,
  refusalOf: (number: number) => string,
): void {
  const { series, times, values } = rows;
  let kept = 0;
  for (let row = 0; row < rows.count; row++) {
    let id = series[row]!;
    if (id < 0) {
      const number = -id;
      id = ids[number]!;
      if (id === 0) {
        rows.quarantine(commits[rows.commitIndexes[row]!]!, rows.lineStarts[row]!, refusalOf(number));
        continue;
      }
    }
    series[kept] = id;
    times[kept] = times[row]!;
    values[kept] = values[row]!;
    kept++;
  }
  rows.count = kept;
}
