/**
 * `metricsstream verify`: checks every seal of every segment, and that no commit is missing between them.
 *
 * Exit code 0: everything is proved. 1: damage or a hole, with its place. An unfinished commit at the very end is
 * what a running server, or one that was killed, leaves: it is told, and is no damage.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Owner, ownerOf, segmentsOf } from '../storage/data-dir.ts';
import { codeOf, nodeFileOps as ops } from '../storage/file-ops.ts';
import { segmentName } from '../storage/segment-name.ts';
import { CommitSequence, readSegment, type SegmentItem } from '../storage/segment-reader.ts';

export interface VerifyOptions {
  readonly dataDir: string;
  readonly json: boolean;
  readonly out?: Writable;
}

interface Problem {
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

/** A write under way looks damaged at worst for as long as it takes to be cut back and begun anew. */
const LOOK_AGAIN_MS = 200;
const LOOKS = 5;

/** @returns the exit code: 0, or 1 for damage */
export async function verify({ dataDir, json, out = process.stdout }: VerifyOptions): Promise<number> {
  const sequences = segmentsOf(dataDir);
  const owner = await ownerOf(dataDir);
  const verification = new Verification(dataDir, owner !== null);
  for (const sequence of sequences) {
    const result = await verification.segment(sequence, sequence === sequences.at(-1));
    if (!json && result !== null) out.write(segmentText(result));
  }
  out.write(json ? `${JSON.stringify(verification.summary())}\n` : verification.text(owner));
  return verification.problems.length === 0 ? 0 : 1;
}

class Verification {
  readonly problems: Problem[] = [];
  private readonly dataDir: string;
  private readonly isLive: boolean;
  private readonly sequence = new CommitSequence();
  private readonly segments: SegmentResult[] = [];
  private unfinished: Unfinished | null = null;
  private firstCommit = 0;

  constructor(dataDir: string, isLive: boolean) {
    this.dataDir = dataDir;
    this.isLive = isLive;
  }

  /** Null when retention removed the segment meanwhile. */
  async segment(sequence: number, isLast: boolean): Promise<SegmentResult | null> {
    const segment = segmentName(sequence);
    let fd: number;
    try {
      fd = ops.open(join(this.dataDir, segment), constants.O_RDONLY);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      throw error;
    }
    const result: SegmentResult = { segment, commits: 0, lines: 0, bytes: 0, problems: [] };
    try {
      await this.check(result, fd, isLast);
    } finally {
      ops.close(fd);
    }
    this.segments.push(result);
    this.problems.push(...result.problems);
    return result;
  }

  private async check(result: SegmentResult, fd: number, isLast: boolean): Promise<void> {
    let from = 0;
    let rest: Exclude<SegmentItem, { kind: 'good' }> | null = null;
    for (let look = 1; look <= LOOKS; look++) {
      [from, rest] = this.checkFrom(result, fd, from);
      if (rest?.kind !== 'damaged' || !isLast || !this.isLive) break;
      await sleep(LOOK_AGAIN_MS);
    }
    if (rest === null) return;
    const { offset, bytes } = rest;
    const { segment } = result;
    if (rest.kind === 'torn' && isLast) this.unfinished = { segment, offset, bytes };
    else
      result.problems.push({ segment, offset, bytes, what: rest.kind === 'torn' ? 'no seal' : rest.reason });
  }

  /** Checks on from a commit's start; returns the end of the last good one and what stands behind it. */
  private checkFrom(
    result: SegmentResult,
    fd: number,
    from: number,
  ): [number, Exclude<SegmentItem, { kind: 'good' }> | null] {
    const { segment, problems } = result;
    let end = from;
    let damage: Exclude<SegmentItem, { kind: 'good' }> | null = null;
    for (const item of readSegment(ops, fd, from)) {
      if (item.kind !== 'good') {
        damage = item;
        continue;
      }
      const gap = this.sequence.follow(item.commit);
      if (damage !== null) {
        const { offset, bytes } = damage;
        const reason = damage.kind === 'damaged' ? damage.reason : 'no seal';
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

  summary() {
    const total = { commits: 0, lines: 0, bytes: 0 };
    for (const { commits, lines, bytes } of this.segments) {
      total.commits += commits;
      total.lines += lines;
      total.bytes += bytes;
    }
    const { firstCommit, problems, unfinished } = this;
    const segments = this.segments.length;
    return {
      ok: problems.length === 0,
      segments,
      ...total,
      firstCommit,
      lastCommit: this.sequence.last,
      problems,
      unfinished,
    };
  }

  text(owner: Owner | null): string {
    const { ok, segments, commits, lines, bytes, firstCommit, lastCommit, problems, unfinished } =
      this.summary();
    let text = '';
    if (unfinished !== null) {
      const by = owner === null ? 'the next start cuts it off' : `process ${owner.pid} may be writing it`;
      text += `${unfinished.segment}: unfinished commit of ${unfinished.bytes} bytes at byte ${unfinished.offset}; ${by}\n`;
    }
    const range = commits === 0 ? '' : ` (${firstCommit} to ${lastCommit})`;
    text += `${segments} segments, ${commits} commits${range}, ${lines} lines, ${bytes} bytes proved; `;
    return `${text}${ok ? 'no damage' : `${problems.length} damaged or missing places`}\n`;
  }
}

function segmentText({ segment, commits, lines, bytes, problems }: SegmentResult): string {
  const text = `${segment}: ${commits} commits, ${lines} lines, ${bytes} bytes proved\n`;
  const places = problems.map(({ offset, bytes: length, what }) => {
    return `${segment}: DAMAGED at byte ${offset}${length > 0 ? `, ${length} bytes` : ''}: ${what}\n`;
  });
  return text + places.join('');
}
