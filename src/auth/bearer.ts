/** Bearer tokens in requests: RFC 6750, section 2.1 (the header) and section 3 (the challenge). */
import { TOKEN_MAX_CHARS } from './token-set.ts';
import type { Client, TokenTable } from './token-table.ts';

const SCHEME = 'bearer';
const SPACE = 0x20;
/** Turns upper-case ASCII letters to lower case. Turns no other character into a letter of the scheme. */
const LOWER_CASE = 0x20;

/** @returns the index of the token in an Authorization value; -1 for another scheme, or none */
function tokenStart(authorization: string): number {
  const { length } = SCHEME;
  if (authorization.length <= length) return -1;
  for (let i = 0; i < length; i++) {
    if ((authorization.charCodeAt(i) | LOWER_CASE) !== SCHEME.charCodeAt(i)) return -1;
  }
  let at = length;
  while (authorization.charCodeAt(at) === SPACE) at++;
  return at === length ? -1 : at;
}

/** @param authorization value of the header, '' if it is missing  @returns the client, or null: answer 401 */
export function authenticate(table: TokenTable, authorization: string): Client | null {
  const start = tokenStart(authorization);
  if (start === -1) return null;
  const length = authorization.length - start;
  if (length === 0 || length > TOKEN_MAX_CHARS) return null;
  return table.find(authorization.slice(start));
}

const REALM = 'Bearer realm="metricsstream"';

/** Value of WWW-Authenticate for a request with this Authorization value. It names an error only if a token was sent. */
export function challengeFor(authorization: string): string {
  return tokenStart(authorization) === -1
    ? REALM
    : `${REALM}, error="invalid_token", error_description="no such token"`;
}
