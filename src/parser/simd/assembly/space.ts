/** White space between tokens. In NDJSON a newline ends the item, so it is not white space there. */
import { byteAt } from './memory.ts';

const BLANK: u32 = 0x20;
/** Bit b is set if byte b, below a blank, is white space: tab, newline and carriage return, or without the newline. */
const JSON_SPACE: u32 = 0x2600;
const NDJSON_SPACE: u32 = 0x2200;

let lowSpace: u32 = JSON_SPACE;

export function setSpace(isNdjson: bool): void {
  lowSpace = isNdjson ? NDJSON_SPACE : JSON_SPACE;
}

/** Address of the first non-space byte at or after `i`. */
export function skipSpace(i: i32): i32 {
  while (isSpace(byteAt(i))) i++;
  return i;
}

@inline
function isSpace(c: u32): bool {
  return c === BLANK || (c < BLANK && ((lowSpace >> c) & 1) !== 0);
}

/** As `skipSpace`, with a fast test for the usual case: nothing to skip. */
@inline
export function skipAnySpace(i: i32): i32 {
  return byteAt(i) <= BLANK ? skipSpace(i) : i;
}
