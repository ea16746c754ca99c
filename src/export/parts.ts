/**
 * Parts of a large commit, for sinks with a limit on one message. The cuts depend on the lines alone, so the parts are the
 * same each time a commit is sent, and `verify` knows from the log which lines a part holds.
 */
const NEWLINE = 0x0a;

/** Commits up to this size are one part. It belongs to the format of messages: a change needs a new format. */
export const PART_BYTES = 512 << 10;

/** Cuts the lines of a commit into parts of at most PART_BYTES, or of one line if that line is longer. */
export function partsOf(lines: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < lines.length; ) {
    const end = start + PART_BYTES >= lines.length ? lines.length : cutAfter(lines, start);
    parts.push(lines.subarray(start, end));
    start = end;
  }
  return parts;
}

/** The end of the last line within PART_BYTES, or else of the first line. */
function cutAfter(lines: Uint8Array, start: number): number {
  const before = lines.lastIndexOf(NEWLINE, start + PART_BYTES - 1) + 1;
  if (before > start) return before;
  const after = lines.indexOf(NEWLINE, start + PART_BYTES) + 1;
  return after === 0 ? lines.length : after;
}

/** Counts the lines of a part. */
export function lineCount(lines: Uint8Array): number {
  let count = 0;
  for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
