/** White space between tokens. In NDJSON a newline is not white space: it ends the item. */
import { inputBytes } from '../input-buffer.ts';
import { type BodyFormat, FORMAT_JSON } from '../parser.ts';

const B = inputBytes;
const NEWLINE = 0x0a;
const BLANK = 0x20;

/** 1 for each white-space byte of the current format. */
const SPACE = new Uint8Array(256);
SPACE[0x20] = 1;
SPACE[0x09] = 1;
SPACE[0x0d] = 1;

/** In NDJSON a newline is invalid inside a value, like the sentinel, so no value can extend into the next line. */
export function setSpaceFor(format: BodyFormat): void {
  SPACE[NEWLINE] = format === FORMAT_JSON ? 1 : 0;
}

/** Offset of the first non-space byte at or after `i`. */
export function skipSpace(i: number): number {
  // Most white space is a single blank.
  if (B[i] === BLANK && B[++i]! > BLANK) return i;
  while (SPACE[B[i]!] === 1) i++;
  return i;
}
