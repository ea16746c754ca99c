/** Identifies the client of a request: whether it may post, the key for its limits, and the class to count it in. */
import { authenticate, challengeFor } from '../auth/bearer.ts';
import type { TokenSet } from '../auth/token-set.ts';
import { TokenTable } from '../auth/token-table.ts';
import { IpRanges } from '../base/ip-address.ts';
import type { Exchange } from './exchange.ts';
import { clientAddress } from './forwarded.ts';
import type { HeaderScan } from './header-scan.ts';
import { PeerAddresses } from './peer-addresses.ts';
import { headerLine, type Problem } from './response.ts';

type KeySource = 'token' | 'header' | 'forwarded' | 'address';

export class ClientIdentity {
  /** Lower-case name of the header that limits apply to; '' when they apply to the token or the address. */
  readonly header: string;
  /** Of open connections; null when no address is needed. */
  readonly addresses: PeerAddresses | null;
  private readonly keySource: KeySource;
  private readonly trusted: IpRanges | null;
  private table: TokenTable | null;

  /**
   * @param clientId as the option `--client-id`
   * @param trustedProxies as the option `--trusted-proxies`, which the configuration has checked
   * @param tokens null: every client may post
   */
  constructor(clientId: string, trustedProxies: string | undefined, tokens: TokenSet | null) {
    this.table = tokens && new TokenTable(tokens);
    const trusted = trustedProxies === undefined ? null : IpRanges.parse(trustedProxies);
    this.trusted = trusted instanceof IpRanges ? trusted : null;
    if (clientId === 'address' || clientId === 'forwarded') this.keySource = clientId;
    else this.keySource = clientId === 'authorization' && tokens !== null ? 'token' : 'header';
    this.header = this.keySource === 'header' ? clientId.replace(/^header:/, '').toLowerCase() : '';
    this.addresses =
      this.keySource === 'address' || this.keySource === 'forwarded' ? new PeerAddresses() : null;
  }

  /** Replaces the current tokens. */
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
  setKey(exchange: Exchange, { clientKey, forwarded, xForwardedFor }: HeaderScan): void {
    if (this.keySource === 'header') {
      exchange.clientKey = Buffer.from(clientKey, 'latin1');
      return;
    }
    const { addresses, trusted } = this;
    if (addresses === null) return;
    const remote = addresses.of(exchange.response);
    exchange.clientKey = trusted === null ? remote : clientAddress(trusted, remote, forwarded, xForwardedFor);
  }
}

export function unauthorizedProblem(authorization: string): Problem {
  return {
    status: 401,
    code: 'unauthorized',
    detail: 'Nothing was stored: send Authorization: Bearer <token> with a token that this server knows.',
    lines: headerLine('WWW-Authenticate', challengeFor(authorization)),
  };
}
