/** The commits in a message, and those of them that a sink does not hold yet. */
import { lineCount } from '../export/parts.ts';
import type { CommitLines } from '../export/postgres/rows.ts';
import type { CommitMessage } from '../nats/message.ts';
import { ApplyError } from './applier.ts';

/** Commits that the sink holds, as one transaction noted them. */
export interface Covered {
  readonly first: number;
  readonly last: number;
  /** 0: whole commits. */
  readonly part: number;
}

/** The commits with their lines; a part counts as a commit. */
export function commitsOf({ first, firstLine, commitBytes, body }: CommitMessage): CommitLines[] {
  const whole = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;
  return commitBytes.map((bytes, k) => {
    const lines = whole.subarray(at, at + bytes);
    at += bytes;
    return { commit: first + k, lines, firstLine };
  });
}

/** Whether a line that the sink refused is in this message. */
export function quarantinedIn(
  { first, last, part, firstLine, lines }: CommitMessage,
  { commit, line }: { readonly commit: number; readonly line: number },
): boolean {
  if (commit < first || commit > last) return false;
  return part === 0 || (line >= firstLine && line < firstLine + lines);
}

/**
 * The message without the commits that the sink holds: nothing, or one message for each run of missing commits.
 * @throws ApplyError poison if the sink holds the commit cut in another way
 */
export function uncovered(message: CommitMessage, covered: readonly Covered[]): CommitMessage[] {
  if (covered.length === 0) return [message];
  const holds = (commit: number): boolean =>
    covered.some(({ first, last, part }) => part === 0 && first <= commit && commit <= last);
  if (message.part > 0) {
    const isHeld = holds(message.first) || covered.some(({ part }) => part === message.part);
    return isHeld ? [] : [message];
  }
  const inParts = covered.find(({ part }) => part > 0);
  if (inParts !== undefined && !holds(inParts.first)) {
    throw new ApplyError('poison', `commit ${inParts.first} is in the sink in parts, and comes whole now`);
  }
  return runsOf(message, holds);
}

function runsOf(message: CommitMessage, holds: (commit: number) => boolean): CommitMessage[] {
  const runs: CommitMessage[] = [];
  const commits = message.damage === '' ? commitsOf(message) : [];
  for (let first = message.first; first <= message.last; first++) {
    if (holds(first)) continue;
    let last = first;
    while (last < message.last && !holds(last + 1)) last++;
    const run = commits.slice(first - message.first, last - message.first + 1);
    runs.push({
      ...message,
      ...{ first, last, lines: run.reduce((sum, { lines }) => sum + lineCount(lines), 0) },
      commitBytes: run.map(({ lines }) => lines.length),
      body: Buffer.concat(run.map(({ lines }) => lines)),
    });
    first = last;
  }
  return runs;
}
