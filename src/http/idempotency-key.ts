/**
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): parses the header, and describes what clients get.
 *
 * A key is a quoted string as drafted (RFC 9651, section 3.3.3), or the bare text that many clients send.
 */
import { INVALID_KEY } from '../idempotency/codes.ts';
import { headerLine, type Problem } from './response.ts';

const KEY_MAX_CHARS = 256;
const BARE = /^[\x21\x23-\x2b\x2d-\x7e]+$/;
const QUOTED = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"$/;
/** Longest header value that can be a key: each character escaped, and the quotes. */
const VALUE_MAX_CHARS = 2 * KEY_MAX_CHARS + 2;

/** The key, the same with and without quotes; '' for no header, INVALID_KEY for one that is not a key. */
export function idempotencyKeyOf(value: string): string {
  if (value === '') return '';
  if (value.length > VALUE_MAX_CHARS) return INVALID_KEY;
  const isQuoted = QUOTED.test(value);
  if (!isQuoted && !BARE.test(value)) return INVALID_KEY;
  const key = isQuoted ? value.slice(1, -1).replace(/\\(["\\])/g, '$1') : value;
  return key === '' || key.length > KEY_MAX_CHARS ? INVALID_KEY : key;
}

/** In the head of a response that repeats an earlier one. */
export const REPLAYED_LINE = headerLine('Idempotency-Replayed', 'true');

export const KEY_IN_FLIGHT_PROBLEM: Problem = {
  status: 409,
  code: 'key_in_flight',
  detail:
    'The first request with this key, or with this body, is not settled yet. Retry to get its response.',
  lines: headerLine('Retry-After', 1),
};

export const KEY_REUSED_PROBLEM: Problem = {
  status: 422,
  code: 'key_reused',
  detail:
    'Nothing was stored: this Idempotency-Key was used with another body. Give each new request a new key.',
};

export const KEY_INVALID_PROBLEM: Problem = {
  status: 400,
  code: 'key_invalid',
  detail: `Nothing was stored: Idempotency-Key must be one key of 1 to ${KEY_MAX_CHARS} visible ASCII characters, with or without double quotes.`,
  members: { offset: 0, field: 'Idempotency-Key', reason: 'not a key' },
};

export const KEYS_OFF_PROBLEM: Problem = {
  status: 400,
  code: 'keys_off',
  detail:
    'Nothing was stored: this server keeps no idempotency keys (--idempotency-window-ms 0). Drop the header.',
  members: { offset: 0, field: 'Idempotency-Key', reason: 'not supported here' },
};
