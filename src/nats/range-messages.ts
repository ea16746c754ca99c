/** Cuts a range of commits into messages: whole commits together up to a size, and each larger commit in parts. */
import { lineCount, PART_BYTES, partsOf } from '../export/parts.ts';
import type { CommitRange } from '../export/sink.ts';
import type { LogCommit, LogDamage } from '../storage/commit-reader.ts';
import { COMMITS_MAX, type CommitMessage } from './message.ts';

interface Origin {
  readonly log: string;
  readonly exporter: string;
  readonly readAtMs: number;
}

export interface MessageOptions extends Origin {
  /** Bytes of the largest body that the stream stores; at least PART_BYTES. */
  readonly bodyMaxBytes: number;
}

/** Members that most messages share. */
const PLAIN = { part: 0, parts: 0, firstLine: 0, damage: '', mayRepeat: false } as const;
const EMPTY = { lines: 0, commitBytes: [], body: Buffer.alloc(0) } as const;

/** The messages of a range, in order. `mayRepeat` is left false: only the sender knows. */
export function messagesOf(
  { commits, damaged }: CommitRange,
  { bodyMaxBytes, ...origin }: MessageOptions,
): CommitMessage[] {
  const messages: CommitMessage[] = [];
  const holes = [...damaged];
  let group: LogCommit[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (group.length > 0) messages.push(wholeCommits(group, origin));
    group = [];
    bytes = 0;
  };
  for (const commit of commits) {
    const size = commit.lines.length;
    if (bytes + size > PART_BYTES || group.length === COMMITS_MAX) flush();
    // The order of messages is that of commits: the last message is the cursor.
    while (holes.length > 0 && holes[0]!.first < commit.commit) {
      flush();
      messages.push(hole(holes.shift()!, origin));
    }
    if (size > PART_BYTES) messages.push(...partsOfCommit(commit, origin, bodyMaxBytes));
    else {
      group.push(commit);
      bytes += size;
    }
  }
  flush();
  messages.push(...holes.map((damage) => hole(damage, origin)));
  return messages;
}

function wholeCommits(group: readonly LogCommit[], origin: Origin): CommitMessage {
  const [only] = group;
  return {
    ...origin,
    ...PLAIN,
    first: only!.commit,
    last: group.at(-1)!.commit,
    sealCrc32: group.at(-1)!.crc32,
    lines: group.reduce((sum, commit) => sum + commit.lineCount, 0),
    commitBytes: group.map(({ lines }) => lines.length),
    body: group.length === 1 ? only!.lines : Buffer.concat(group.map(({ lines }) => lines)),
  };
}

/** A part above the limit is one long line. It must not stop the log, so the message only says that it is missing. */
function partsOfCommit(
  { commit, crc32: sealCrc32, lines }: LogCommit,
  origin: Origin,
  bodyMaxBytes: number,
): CommitMessage[] {
  const parts = partsOf(lines);
  let firstLine = 0;
  return parts.map((body, k) => {
    const part = { ...origin, ...PLAIN, first: commit, last: commit, part: k + 1, parts: parts.length };
    const lines = lineCount(body);
    const message = { ...part, lines, firstLine, commitBytes: [body.length], sealCrc32, body };
    firstLine += lines;
    if (body.length <= bodyMaxBytes) return message;
    const damage = `a metric of ${body.length} bytes, above the limit of the stream for one message`;
    return { ...message, ...EMPTY, damage };
  });
}

function hole({ first, last, reason }: LogDamage, origin: Origin): CommitMessage {
  return {
    ...{ ...origin, ...PLAIN, ...EMPTY, first, last, sealCrc32: null, damage: reason },
  };
}
