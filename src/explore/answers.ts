/** Answers the page's requests from one snapshot at a time, one query after the other. */
import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';
import { leftOutText } from '../query/report.ts';
import { asQueryError, prepareQuery, type Session } from '../query/session.ts';
import {
  LINES_MAX,
  linesSql,
  NAMES_SQL,
  type PlotQuestion,
  plotSql,
  seriesSql,
  tagsSql,
} from './questions.ts';

const SERIES_SHOWN = 100;
const TAG_VALUES_SHOWN = 200;

/** Opens a database over a new snapshot. */
export type OpenSession = () => Promise<Session>;

/** JSON for the page. */
export type Answer = Readonly<Record<string, unknown>>;

/** Its signal aborts the query of a client that has gone. */
export interface Waiter {
  readonly signal: AbortSignal;
}

export class Answers {
  private readonly open: OpenSession;
  private session: Promise<Session> | null = null;
  /** Ends when the query before has ended. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(open: OpenSession) {
    this.open = open;
  }

  /** Later answers are about what is stored now. */
  async refresh(): Promise<void> {
    await this.inTurn(async () => {
      const session = await this.session?.catch(() => null);
      if (session !== undefined && session !== null) this.drop(session);
    });
  }

  private drop(session: Session): void {
    this.session = null;
    session.close();
  }

  async names(waiter: Waiter): Promise<Answer> {
    return await this.ask(waiter, async (run, session) => {
      const rows = await run(NAMES_SQL);
      const names = rows.map(([name, type, series, count, first, last]) => ({
        name,
        type,
        series: Number(series),
        count: Number(count),
        firstMs: millisOf(first!),
        lastMs: millisOf(last!),
      }));
      return { names, leftOut: leftOutText(session.snapshot.leftOut) };
    });
  }

  async series(name: string, waiter: Waiter): Promise<Answer> {
    return await this.ask(waiter, async (run) => {
      const tags = await run(tagsSql(name, TAG_VALUES_SHOWN));
      const rows = await run(seriesSql(name, SERIES_SHOWN));
      return {
        tags: tags.map(([key, value, count]) => ({ key, value, count: Number(count) })),
        series: rows.map(([pairs, count, value, last]) => ({
          tags: pairsOf(pairs!),
          count: Number(count),
          value,
          lastMs: millisOf(last!),
        })),
        total: Number(rows[0]?.[4] ?? 0),
      };
    });
  }

  /** Columns for uPlot: times in Unix seconds, then one array of values for each line. */
  async plot(question: PlotQuestion, waiter: Waiter): Promise<Answer> {
    return await this.ask(waiter, async (run) => {
      const { sql, more } = await chosenSql(question, run);
      const rows = await run(sql);
      return { sql, more, stepMs: question.stepMs, ...columnsOf(rows) };
    });
  }

  /** The rows of a plot, chunk by chunk, as text. */
  async csv(
    question: PlotQuestion,
    waiter: Waiter,
    write: (columns: readonly string[], chunk: DuckDBDataChunk | null) => Promise<void>,
  ): Promise<void> {
    await this.ask(waiter, async (run, { connection }) => {
      const { sql } = await chosenSql(question, run);
      const result = await (await prepareQuery(connection, sql)).stream();
      const columns = result.columnNames();
      for await (const chunk of result) await write(columns, chunk);
      await write(columns, null);
      return {};
    });
  }

  private async ask(
    { signal }: Waiter,
    answer: (run: Run, session: Session) => Promise<Answer>,
  ): Promise<Answer> {
    return await this.inTurn(async () => {
      signal.throwIfAborted();
      const session = await this.current();
      const interrupt = (): void => session.connection.interrupt();
      signal.addEventListener('abort', interrupt);
      try {
        const run: Run = async (sql) => {
          // An interrupt ends only a query that runs: opening the session and parsing come before.
          signal.throwIfAborted();
          return (await (await prepareQuery(session.connection, sql)).runAndReadAll()).getRows();
        };
        return await answer(run, session);
      } catch (error) {
        const answered = asQueryError(error);
        // A connection keeps the memory of the query that failed.
        if (answered.message.startsWith('Out of Memory')) this.drop(session);
        throw answered;
      } finally {
        signal.removeEventListener('abort', interrupt);
      }
    });
  }

  private async current(): Promise<Session> {
    this.session ??= this.open();
    try {
      return await this.session;
    } catch (error) {
      this.session = null;
      throw error;
    }
  }

  private async inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const turn = this.last.then(run);
    this.last = turn.catch(() => {});
    return await turn;
  }
}

type Rows = readonly (readonly DuckDBValue[])[];
type Run = (sql: string) => Promise<Rows>;

/** The SQL of a plot; `more` is true when it leaves out lines. */
async function chosenSql(question: PlotQuestion, run: Run): Promise<{ sql: string; more: boolean }> {
  const isSplit = question.by !== '' && question.mode !== 'percentiles';
  const lines = isSplit ? await run(linesSql(question)) : [];
  const more = lines.length > LINES_MAX;
  const shown = more ? lines.slice(0, LINES_MAX).map(([line]) => String(line)) : null;
  return { sql: plotSql(question, shown), more };
}

function columnsOf(rows: Rows): Answer {
  const times = [...new Set(rows.map(([time]) => millisOf(time!)))].sort((a, b) => a - b);
  const indexOf = new Map(times.map((time, index) => [time, index]));
  const columns = new Map<string, (number | null)[]>();
  for (const [time, line, value] of rows) {
    const label = String(line);
    let column = columns.get(label);
    if (column === undefined) {
      column = times.map(() => null);
      columns.set(label, column);
    }
    column[indexOf.get(millisOf(time!))!] = value as number;
  }
  const labels = [...columns.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return {
    labels,
    columns: [times.map((ms) => ms / 1_000), ...labels.map((label) => columns.get(label)!)],
  };
}

function millisOf(time: DuckDBValue): number {
  return Number((time as { micros: bigint }).micros / 1_000n);
}

function pairsOf(tags: DuckDBValue): Record<string, string> {
  const { entries } = tags as unknown as { entries: readonly { key: string; value: string }[] };
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}
