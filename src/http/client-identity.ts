/** Who sends a request: whether they may post, what the limits know them by, and which class they are counted in. */
import { authenticate, challengeFor } from '../auth/bearer.ts';
import type { TokenSet } from '../auth/token-set.ts';
import { TokenTable } from '../auth/token-table.ts';
import type { Exchange } from './exchange.ts';
import type { HeaderScan } from './header-scan.ts';
import { headerLine, type Problem } from './response.ts';

type KeySource = 'token' | 'header' | 'address';

export class ClientIdentity {
  /** Lower-case name of the header that the limits go by; '' when it is the token or the address. */
  readonly header: string;
  private readonly keySource: KeySource;
  private table: TokenTable | null;

  /**
   * @param clientId as the option `--client-id`
   * @param tokens null: everybody may post
   */
  constructor(clientId: string, tokens: TokenSet | null) {
    this.table = tokens && new TokenTable(tokens);
    if (clientId === 'address') this.keySource = 'address';
    else this.keySource = clientId === 'authorization' && tokens !== null ? 'token' : 'header';
    this.header = this.keySource === 'header' ? clientId.replace(/^header:/, '').toLowerCase() : '';
  }

  /** Replaces the tokens in force, where there are any. */
  setTokens(tokens: TokenSet): void {
    this.table = new TokenTable(tokens);
  }

  /** Says whether the request may post, and by its token sets the client's class and key. */
  admits(exchange: Exchange, { authorization }: HeaderScan): boolean {
    if (this.table === null) return true;
    const client = authenticate(this.table, authorization);
    if (client === null) return false;
    exchange.clientClass = client.classIndex;
    exchange.clientKey = client.limitKey;
    return true;
  }

  /** Sets what the limits know the client by; after `admits`. */
  setKey(exchange: Exchange, { clientKey }: HeaderScan): void {
    if (this.keySource === 'header') exchange.clientKey = Buffer.from(clientKey, 'latin1');
    else if (this.keySource === 'address') {
      exchange.clientKey = new Uint8Array(exchange.response.getRemoteAddress());
    }
  }
}

/**
 * A 401.
 * @param close true where the body would have to be read to find the next request, and may be long
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
