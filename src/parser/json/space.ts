/** White space, which in a format of lines does not include the end of a line. */
import { inputBytes } from '../input-buffer.ts';
import { type BodyFormat, FORMAT_JSON } from '../parser.ts';

const B = inputBytes;
const NEWLINE = 0x0a;

/** 1 for each byte that is skipped between tokens. */
const SPACE = new Uint8Array(256);
SPACE[0x20] = 1;
SPACE[0x09] = 1;
SPACE[0x0d] = 1;

/** In NDJSON a newline is as foreign inside a value as the sentinel, so no value can reach into the next line. */
export function setSpaceFor(format: BodyFormat): void {
  SPACE[NEWLINE] = format === FORMAT_JSON ? 1 : 0;
}

/** Offset of the first byte at or after `i` that is no white space. */
export function skipSpace(i: number): number {
  while (SPACE[B[i]!] === 1) i++;
  return i;
}
