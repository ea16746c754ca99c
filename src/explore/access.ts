/** Who may read: the holders of a token, or pages of this machine. */

import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { authenticate } from '../auth/bearer.ts';
import type { TokenTable } from '../auth/token-table.ts';

/** Offers Basic too: browsers ask for it, and then send it with each request. The password is the token. */
export const CHALLENGE = 'Basic realm="metricsstream", charset="UTF-8"';

export function mayRead(table: TokenTable | null, request: IncomingMessage): boolean {
  return table === null || authenticate(table, bearerOf(request.headers.authorization ?? '')) !== null;
}

/** An Authorization value with the password of Basic as bearer token; others as they are. */
function bearerOf(authorization: string): string {
  const match = /^basic +([A-Za-z0-9+/=]+)$/i.exec(authorization);
  if (match === null) return authorization;
  const credentials = Buffer.from(match[1]!, 'base64').toString('utf8');
  return `Bearer ${credentials.slice(credentials.indexOf(':') + 1)}`;
}

/**
 * A page of another site could point a name of its own to 127.0.0.1 and read the answers (DNS rebinding). So without
 * tokens the Host header must be an address, localhost, or the name that the operator gave.
 */
export function isKnownHost(request: IncomingMessage, host: string): boolean {
  const name = (request.headers.host ?? '')
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  return name === 'localhost' || name === host.toLowerCase() || isIP(name) !== 0;
}
