/**
 * Reasons for rejecting a body or an item: codes for the parser, texts for clients.
 *
 * On a syntax error, a parsing function records offset and reason with `fail` and returns BROKEN instead of an offset.
 */

/** Less than every offset and every bitwise complement of one. */
export const BROKEN = -0x4000_0000;

export const REASONS = {
  END: 'unexpected end of body',
  LINE_END: 'unexpected end of line',
  VALUE: 'expected a value',
  KEY: 'expected a key in double quotes',
  COLON: "expected ':'",
  COMMA_OR_BRACE: "expected ',' or '}'",
  COMMA_OR_BRACKET: "expected ',' or ']'",
  DIGIT: 'expected a digit',
  LITERAL: 'expected true, false or null',
  ESCAPE: 'invalid escape',
  SURROGATE: 'lone surrogate',
  UTF8: 'invalid UTF-8',
  CONTROL: 'control character in string',
  DEPTH: 'nesting deeper than 64',
  BYTE_ORDER_MARK: 'byte order mark',
  TRAILING: 'only white space may follow',
  OBJECT: 'must be an object',
  ARRAY: 'must be an array',
  REQUIRED: 'is required',
  TWICE: 'given twice',
  NO_ITEM: 'must have at least one item',
  STRING: 'must be a string',
  EMPTY: 'must not be empty',
  NAME_LENGTH: 'must be at most 255 bytes',
  NAME_CONTROL: 'must not contain control characters',
  NUMBER: 'must be a finite number',
  TYPE: 'must be counter, gauge, histogram or summary',
  TIMESTAMP: 'must be an integer of Unix milliseconds between -8.64e15 and 8.64e15',
  TAGS: 'must have at most 64 members',
} as const;
export type Reason = keyof typeof REASONS;

export let failureOffset = 0;
export let failureReason: Reason = 'END';

/** Records the first byte that no valid body could have here. */
export function fail(offset: number, reason: Reason): number {
  failureOffset = offset;
  failureReason = reason;
  return BROKEN;
}
