/** Identifies the client of a request: whether it may post, the key for its limits, and the class to count it in. */
import { authenticate, challengeFor } from '../auth/bearer.ts';
import type { TokenSet } from '../auth/token-set.ts';
import { TokenTable } from '../auth/token-table.ts';
import type { Exchange } from './exchange.ts';
import type { HeaderScan } from './header-scan.ts';
import { headerLine, type Problem } from './response.ts';

type KeySource = 'token' | 'header' | 'address';

export class ClientIdentity {
  /** Lower-case name of the header that limits apply to; '' when they apply to the token or the address. */
  readonly header: string;
  private readonly keySource: KeySource;
  private table: TokenTable | null;

  /**
   * @param clientId as the option `--client-id`
   * @param tokens null: every client may post
   */
  constructor(clientId: string, tokens: TokenSet | null) {
    this.table = tokens && new TokenTable(tokens);
    if (clientId === 'address') this.keySource = 'address';
    else this.keySource = clientId === 'authorization' && tokens !== null ? 'token' : 'header';
    this.header = this.keySource === 'header' ? clientId.replace(/^header:/, '').toLowerCase() : '';
  }

  /** Replaces the tokens in force. */
  setTokens(tokens: TokenSet): void {
    this.table = new TokenTable(tokens);
  }

  /** True if the client may post; then also sets its class and key from its token. */
  admits(exchange: Exchange, { authorization }: HeaderScan): boolean {
    if (this.table === null) return true;
    const client = authenticate(this.table, authorization);
    if (client === null) return false;
    exchange.clientClass = client.classIndex;
    exchange.clientKey = client.limitKey;
    return true;
  }

  /** Sets the key that limits apply to. Call it after `admits`. */
  setKey(exchange: Exchange, { clientKey }: HeaderScan): void {
    if (this.keySource === 'header') exchange.clientKey = Buffer.from(clientKey, 'latin1');
    else if (this.keySource === 'address') {
      exchange.clientKey = new Uint8Array(exchange.response.getRemoteAddress());
    }
  }
}

/**
 * A 401.
 * @param close true when the server would have to read a body of unknown or excessive size to find the next request
 */
export function unauthorizedProblem(authorization: string, close: boolean): Problem {
  return {
    status: 401,
    code: 'unauthorized',
    detail: 'Nothing was stored: send Authorization: Bearer <token> with a token that this server knows.',
    lines: headerLine('WWW-Authenticate', challengeFor(authorization)),
    close,
  };
}
