/** Bearer tokens in requests: RFC 6750, section 2.1 (the header) and section 3 (the challenge). */
import { TOKEN_MAX_CHARS } from './token-set.ts';
import type { Client, TokenTable } from './token-table.ts';

const SCHEME = 'bearer';
const SPACE = 0x20;
/** Makes an upper-case ASCII letter a lower-case one, and of what is no letter never a letter of the scheme. */
const LOWER_CASE = 0x20;

/** @returns where the token of an Authorization value begins, or -1 when the scheme is another one or there is none */
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

/** @param authorization value of the header, '' when there is none  @returns the client, or null: answer 401 */
export function authenticate(table: TokenTable, authorization: string): Client | null {
  const start = tokenStart(authorization);
  if (start === -1) return null;
  const length = authorization.length - start;
  if (length === 0 || length > TOKEN_MAX_CHARS) return null;
  return table.find(authorization.slice(start));
}

const REALM = 'Bearer realm="metricsstream"';

/** Value of WWW-Authenticate for a request with this Authorization value; an error is named only where a token was given. */
export function challengeFor(authorization: string): string {
  return tokenStart(authorization) === -1
    ? REALM
    : `${REALM}, error="invalid_token", error_description="no such token"`;
}
