/**
 * `metricsstream verify`: checks every seal of every segment and every file of the archive, that every commit of the log
 * is in one of them, and that everything acknowledged in the write-ahead files is in a segment or whole there.
 *
 * Exit code 0: everything is proved. 1: damage or missing commits, with their place. An unfinished commit at the very end
 * is what a running or killed server leaves: it is reported and does not count as damage.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ArchiveResult, notArchived, verifyArchive } from '../archive/verify-archive.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { type Owner, ownerOf, segmentsOf } from '../storage/data-dir.ts';
import { codeOf, isFileError, nodeFileOps as ops } from '../storage/file-ops.ts';
import { type LogRecord, readLogRecord } from '../storage/log-record.ts';
import { segmentName } from '../storage/segment-name.ts';
import { CommitSequence, gapText, readSegment, type SegmentItem } from '../storage/segment-reader.ts';
import { isSetAsideName } from '../storage/set-aside.ts';
import { verifyWal, type WalFindings, walText } from './verify-wal.ts';

export interface VerifyOptions {
  readonly dataDir: string;
  readonly json: boolean;
  /** The oldest segments are kept elsewhere: do not report their commits as missing. */
  readonly archived?: boolean;
  readonly out?: Writable;
}

interface Problem {
  /** The segment or the file of the archive, or `log.json` if only the record knows of it. */
  readonly segment: string;
  readonly offset: number;
  /** Bytes that are not proved; 0 where commits are missing. */
  readonly bytes: number;
  readonly what: string;
}

interface SegmentResult {
  readonly segment: string;
  commits: number;
  lines: number;
  bytes: number;
  readonly problems: Problem[];
}

interface Unfinished {
  readonly segment: string;
  readonly offset: number;
  readonly bytes: number;
}

type Unproved = Exclude<SegmentItem, { kind: 'good' }>;

/** A write in progress looks damaged until it is cut back and repeated, at worst. A disk may stand still meanwhile. */
const CHECK_AGAIN_MS = 200;
const CHECKS = 30;

/** @returns the exit code: 0, or 1 for damage and missing commits */
export async function verify(options: VerifyOptions): Promise<number> {
  const { dataDir, json, archived = false, out = process.stdout } = options;
  // Read before the segments: what it knows must be in them. A running server writes on.
  const before = recordOf(dataDir);
  const sequences = segmentsOf(dataDir);
  const owner = await ownerOf(dataDir);
  const verification = new Verification(dataDir, owner !== null, archived);
  for (const sequence of sequences) {
    const result = await verification.segment(sequence, sequence === sequences.at(-1));
    if (!json && result !== null) out.write(segmentText(result));
  }
  const others = [
    ...verification.checkRecord(before),
    ...verification.checkArchive(),
    ...verification.addWal(await verifyWal(dataDir, owner !== null)),
  ];
  if (!json) for (const problem of others) out.write(problemText(problem));
  out.write(json ? `${JSON.stringify(verification.summary())}\n` : verification.text(owner));
  return verification.problems.length === 0 ? 0 : 1;
}

function recordOf(dataDir: string): LogRecord | null {
  try {
    return readLogRecord(ops, dataDir).record;
  } catch (error) {
    throw new MetricsStreamError(
      'DATA_DIR_UNUSABLE',
      `cannot read log.json in ${dataDir}: ${codeOf(error)}. Run verify as the user of the server.`,
      { cause: error },
    );
  }
}

class Verification {
  readonly problems: Problem[] = [];
  private readonly dataDir: string;
  private readonly isLive: boolean;
  private readonly archived: boolean;
  private readonly sequence = new CommitSequence();
  private readonly segments: SegmentResult[] = [];
  private record: LogRecord | null = null;
  private unfinished: Unfinished | null = null;
  private firstCommit = 0;
  private elsewhere: string | null = null;
  private archive: ArchiveResult | null = null;
  private wal: WalFindings = { files: [], problems: [] };

  constructor(dataDir: string, isLive: boolean, archived: boolean) {
    this.dataDir = dataDir;
    this.isLive = isLive;
    this.archived = archived;
  }

  /** Null when retention deleted the segment meanwhile. */
  async segment(sequence: number, isLast: boolean): Promise<SegmentResult | null> {
    const segment = segmentName(sequence);
    const result: SegmentResult = { segment, commits: 0, lines: 0, bytes: 0, problems: [] };
    try {
      await this.read(result, isLast);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT') return null;
      if (!isFileError(error)) throw error;
      result.problems.push({ segment, offset: 0, bytes: 0, what: `it cannot be read: ${code}` });
    }
    this.segments.push(result);
    this.problems.push(...result.problems);
    return result;
  }

  private async read(result: SegmentResult, isLast: boolean): Promise<void> {
    const fd = ops.open(join(this.dataDir, result.segment), constants.O_RDONLY);
    try {
      await this.check(result, fd, isLast);
    } finally {
      ops.close(fd);
    }
  }

  private async check(result: SegmentResult, fd: number, isLast: boolean): Promise<void> {
    let from = 0;
    let rest: Unproved | null = null;
    for (let check = 1; check <= CHECKS; check++) {
      [from, rest] = this.checkFrom(result, fd, from);
      if (rest?.kind !== 'damaged' || !isLast || !this.isLive) break;
      await sleep(CHECK_AGAIN_MS);
    }
    if (rest === null) return;
    const { offset, bytes } = rest;
    const { segment } = result;
    if (rest.kind === 'torn' && isLast) this.unfinished = { segment, offset, bytes };
    else result.problems.push({ segment, offset, bytes, what: reasonOf(rest) });
  }

  /** Continues at the start of a commit; returns the end of the last good one and what follows it. */
  private checkFrom(result: SegmentResult, fd: number, from: number): [number, Unproved | null] {
    const { segment, problems } = result;
    let end = from;
    let damage: Unproved | null = null;
    for (const item of readSegment(ops, fd, from)) {
      if (item.kind !== 'good') {
        damage = item;
        continue;
      }
      const gap = this.follow(item.commit);
      if (damage !== null) {
        const { offset, bytes } = damage;
        const reason = reasonOf(damage);
        problems.push({ segment, offset, bytes, what: gap === null ? reason : `${reason}; ${gap}` });
      } else if (gap !== null) {
        problems.push({ segment, offset: item.offset, bytes: 0, what: gap });
      }
      damage = null;
      this.firstCommit ||= item.commit;
      result.commits++;
      result.lines += item.lines;
      result.bytes += item.bytes;
      end = item.offset + item.bytes;
    }
    return [end, damage];
  }

  /** The problem with this commit number, unless the missing ones are archived or retention has just deleted them. */
  private follow(commit: number): string | null {
    const { last } = this.sequence;
    const problem = this.sequence.follow(commit);
    if (problem === null || commit <= last) return problem;
    const missing = notArchived(this.dataDir, [last + 1, commit - 1]);
    if (missing.length === 0) return null;
    if (this.isLive && commit - 1 <= (recordOf(this.dataDir)?.deletedCommit ?? 0)) return null;
    return missing.map(([from, to]) => gapText(from, to)).join(', ');
  }

  /**
   * Compares the commits found with the log record: every one that retention did not delete must be in a segment or in
   * the archive.
   * @param before the record as it was before the segments were read
   */
  checkRecord(before: LogRecord | null): Problem[] {
    // Retention may have deleted segments since.
    this.record = recordOf(this.dataDir) ?? before;
    if (before === null || this.record === null) return [];
    const firstKept = this.record.deletedCommit + 1;
    const lastKnown = Math.max(before.commit, this.record.deletedCommit);
    const missing: Problem[] = [];
    const report = (from: number, to: number): void => {
      for (const [first, last] of notArchived(this.dataDir, [from, to]))
        missing.push({ segment: 'log.json', offset: 0, bytes: 0, what: gapText(first, last) });
    };
    const first = this.firstCommit || lastKnown + 1;
    if (this.archived) this.elsewhere = firstKept < first ? `commits ${firstKept} to ${first - 1}` : null;
    else report(firstKept, first - 1);
    if (this.firstCommit > 0) report(this.sequence.highest + 1, lastKnown);
    this.problems.push(...missing);
    return missing;
  }

  /** Checks the files of the archive; returns the problems with them. */
  checkArchive(): Problem[] {
    this.archive = verifyArchive(this.dataDir, this.record?.id ?? null);
    const problems = (this.archive?.problems ?? []).map(
      ({ path, what }): Problem => ({ segment: path, offset: 0, bytes: 0, what }),
    );
    this.problems.push(...problems);
    return problems;
  }

  /** Takes over the findings in the write-ahead files; returns the problems with them. */
  addWal(wal: WalFindings): readonly Problem[] {
    this.wal = wal;
    this.problems.push(...wal.problems);
    return wal.problems;
  }

  private get setAside(): string[] {
    return ops.readdir(this.dataDir).filter(isSetAsideName).sort();
  }

  summary() {
    const total = { commits: 0, lines: 0, bytes: 0 };
    for (const { commits, lines, bytes } of this.segments) {
      total.commits += commits;
      total.lines += lines;
      total.bytes += bytes;
    }
    const { firstCommit, problems, unfinished, setAside, archive } = this;
    return {
      ok: problems.length === 0,
      log: this.record?.id ?? null,
      segments: this.segments.length,
      ...total,
      firstCommit,
      lastCommit: this.sequence.last,
      problems,
      unfinished,
      setAside,
      ...(archive === null ? {} : { archive: { ...archive, problems: archive.problems.length } }),
      wal: this.wal.files,
    };
  }

  text(owner: Owner | null): string {
    const { segments, commits, lines, bytes, firstCommit, lastCommit, unfinished, setAside } = this.summary();
    let text = '';
    if (unfinished !== null) {
      const by = owner === null ? 'the next start cuts it off' : `process ${owner.pid} may be writing it`;
      text += `${unfinished.segment}: unfinished commit of ${unfinished.bytes} bytes at byte ${unfinished.offset}; ${by}\n`;
    }
    text += walText(this.wal, owner?.pid ?? null);
    for (const name of setAside) text += `${name}: set aside by a start because its end was damaged\n`;
    if (this.record === null) text += `${NO_RECORD}\n`;
    if (this.elsewhere !== null) text += `${this.elsewhere} are not here (--archived)\n`;
    if (this.archive !== null) text += archiveText(this.archive);
    const range = commits === 0 ? '' : ` (${firstCommit} to ${lastCommit})`;
    text += `${segments} segments, ${commits} commits${range}, ${lines} lines, ${bytes} bytes proved; `;
    return `${text}${this.verdict()}\n`;
  }

  private verdict(): string {
    const { problems, record, segments } = this;
    if (problems.length > 0) return `${problems.length} damaged or missing places`;
    if (record === null && segments.length === 0) return 'nothing to verify';
    return this.elsewhere === null ? 'no damage' : 'no damage in the segments here';
  }
}

const NO_RECORD =
  'there is no log.json: segments missing before the first or after the last would not be noticed';

function reasonOf(rest: Unproved): string {
  return rest.kind === 'torn' ? 'no seal' : rest.reason;
}

function segmentText({ segment, commits, lines, bytes, problems }: SegmentResult): string {
  const text = `${segment}: ${commits} commits, ${lines} lines, ${bytes} bytes proved\n`;
  return text + problems.map(problemText).join('');
}

function archiveText({ files, commits, lines, bytes, expiredLines }: ArchiveResult): string {
  const expired = expiredLines === 0 ? '' : `; ${expiredLines} lines expired`;
  return `archive: ${files} files, ${commits} commits, ${lines} lines, ${bytes} bytes checked${expired}\n`;
}

function problemText({ segment, offset, bytes, what }: Problem): string {
  if (segment === 'log.json') return `MISSING: ${what}: no segment here holds them\n`;
  return `${segment}: DAMAGED at byte ${offset}${bytes > 0 ? `, ${bytes} bytes` : ''}: ${what}\n`;
}
