/** A sink that keeps each range as a file: the file's name is the cursor, so both appear in one atomic step. */
import fs from 'node:fs';
import { join } from 'node:path';
import {
  type CommitRange,
  type Cursor,
  lastCommit,
  type Maintenance,
  type PreparedRange,
  type Sink,
  type SinkContext,
  SinkError,
} from '../../src/export/sink.ts';

/** Where a try fails: before or after the range is stored. */
type Failure = 'before' | 'after' | null;

const NO_SEAL = 'none';
/** `after-last-segment-crc-writer.ndjson` */
const NAME = /^(\d+)-(\d+)-(\d+)-(\d+|none)-(.+)\.ndjson$/;

interface StoredRange {
  readonly after: number;
  readonly last: number;
  readonly segment: number;
  readonly crc32: number | null;
  readonly writer: string;
  readonly name: string;
}

export class DirectorySink implements Sink {
  readonly place: string;
  /** Decides for each try whether it fails. */
  nextFailure: () => Failure = () => null;
  /** Commits recorded as damaged, as `first-last: reason`. */
  readonly quarantine: string[] = [];
  /** A later commit is not durable, although the sink holds it. */
  durableMax = Number.POSITIVE_INFINITY;
  /** False for a sink that does not know the seal of its last commit. */
  knowsSeals = true;
  /** Called before each look at the cursor. */
  beforeCursor: () => void = () => {};
  /** What `maintain` was called for. */
  readonly maintained: Maintenance[] = [];
  nextMaintenance: () => Promise<void> = () => Promise.resolve();
  /** Resolves when the exporter has closed the sink. */
  readonly closed: Promise<void>;
  private onClose: () => void = () => {};
  private readonly directory: string;
  private readonly writer: string;

  constructor(directory: string, { writer }: SinkContext) {
    this.directory = this.place = directory;
    this.writer = writer;
    this.closed = new Promise((resolve) => {
      this.onClose = resolve;
    });
  }

  /** In the order of the log. */
  ranges(): StoredRange[] {
    return fs
      .readdirSync(this.directory)
      .map((name) => NAME.exec(name))
      .filter((match) => match !== null)
      .map(([name, after, last, segment, crc, writer = '']) => ({
        ...{ name, after: Number(after), last: Number(last), segment: Number(segment), writer },
        crc32: crc === NO_SEAL ? null : Number(crc),
      }))
      .sort((a, b) => a.last - b.last);
  }

  /** All lines, as they were stored. */
  text(): string {
    return this.ranges()
      .map(({ name }) => fs.readFileSync(join(this.directory, name), 'utf8'))
      .join('');
  }

  /** Loses the last ranges, as a restored backup does. */
  loseLast(count: number): void {
    for (const { name } of this.ranges().slice(-count)) fs.rmSync(join(this.directory, name));
  }

  get durableCommit(): number {
    return Math.min(this.durableMax, this.ranges().at(-1)?.last ?? 0);
  }

  connect(): Promise<Cursor | null> {
    const newest = this.ranges().at(-1);
    if (newest === undefined) return Promise.resolve(null);
    const { last: commit, segment, crc32, writer } = newest;
    return Promise.resolve({ commit, segment, crc32: this.knowsSeals ? crc32 : null, writer });
  }

  cursor(): Promise<Cursor | null> {
    this.beforeCursor();
    return this.connect();
  }

  rewind(commit: number): Promise<number> {
    for (const { name, last } of this.ranges()) if (last > commit) fs.rmSync(join(this.directory, name));
    return Promise.resolve(this.durableCommit);
  }

  prepare(range: CommitRange): Promise<PreparedRange> {
    return Promise.resolve({ quarantinedCount: 0, ship: () => this.ship(range) });
  }

  private async ship(range: CommitRange): Promise<void> {
    const { after, last, end, commits, damaged } = range;
    const failure = this.nextFailure();
    if (failure === 'before') throw new SinkError('retry', 'it failed before it stored');
    const held = (await this.connect())?.commit;
    if (held !== undefined && held !== after) throw new SinkError('retry', 'the cursor has moved');
    const seal = lastCommit(range)?.crc32 ?? NO_SEAL;
    const path = join(this.directory, `${after}-${last}-${end.segment}-${seal}-${this.writer}.ndjson`);
    fs.writeFileSync(`${path}.new`, Buffer.concat(commits.map(({ lines }) => lines)));
    fs.renameSync(`${path}.new`, path);
    for (const { first, last: to, reason } of damaged) this.quarantine.push(`${first}-${to}: ${reason}`);
    if (failure === 'after') throw new SinkError('retry', 'it failed after it stored');
  }

  maintain(when: Maintenance): Promise<void> {
    this.maintained.push(when);
    return this.nextMaintenance();
  }

  close(): Promise<void> {
    this.onClose();
    return Promise.resolve();
  }
}
