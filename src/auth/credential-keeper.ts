/** Main's hold on tokens and certificate: reads them at the start and again on request, and passes on what is sound. */
import type { Logger } from '../base/log.ts';
import type { Config } from '../config/load.ts';
import { ClassNames } from './class-names.ts';
import { type Credentials, readCredentials } from './credentials.ts';
import type { TokenSet } from './token-set.ts';

/** The threads that credentials are used in. */
export interface CredentialUsers {
  setTokens(tokens: TokenSet): void;
  /** Reads the certificate's files anew. @returns null, or why the old certificate stays */
  replaceCertificate(): Promise<string | null>;
}

export class CredentialKeeper {
  readonly classes = new ClassNames();
  /** What was read last and found sound. */
  current: Credentials;
  /** Reloads by result. */
  readonly reloads = { ok: 0, failed: 0 };
  private readonly config: Config;
  private readonly log: Logger;
  private running = false;
  private askedAgain = false;

  /** @throws MetricsStreamError CONFIG_INVALID */
  constructor(config: Config, log: Logger) {
    this.config = config;
    this.log = log;
    this.current = readCredentials(config, this.classes);
    for (const warning of this.current.warnings) log.warn(warning);
  }

  /** Reads everything again; what is asked for meanwhile happens once more behind it. Never throws. */
  async reload(users: CredentialUsers): Promise<void> {
    if (this.current.tokens === null && this.current.tls === null) {
      this.log.info('nothing to reload: neither --tokens-file nor --tls-cert is given');
      return;
    }
    this.askedAgain = true;
    if (this.running) return;
    this.running = true;
    while (this.askedAgain) {
      this.askedAgain = false;
      await this.reloadOnce(users);
    }
    this.running = false;
  }

  private async reloadOnce(users: CredentialUsers): Promise<void> {
    const problem = await this.take(users);
    if (problem !== null) {
      this.reloads.failed++;
      this.log.error({ reason: problem }, 'reload failed: tokens and certificate stay as they were');
      return;
    }
    this.reloads.ok++;
    const { tls, warnings } = this.current;
    for (const warning of warnings) this.log.warn(warning);
    this.log.info(
      { auth: authText(this.current), ...(tls && { certificate: tls.subject, expires: tls.expiresAt }) },
      'reloaded',
    );
  }

  /** @returns null, or why nothing has changed */
  private async take(users: CredentialUsers): Promise<string | null> {
    let next: Credentials;
    try {
      next = readCredentials(this.config, this.classes);
    } catch (error) {
      return (error as Error).message;
    }
    // The certificate first: threads may still refuse it, tokens they cannot.
    const refused = next.tls === null ? null : await users.replaceCertificate();
    if (refused !== null) return refused;
    if (next.tokens !== null) users.setTokens(next.tokens);
    this.current = next;
    return null;
  }
}

/** What guards POST, for people. */
export function authText({ tokens }: Credentials): string {
  if (tokens === null) return 'none';
  const names = tokens.clients.length;
  return `tokens (${tokens.clientOf.length} of ${names} ${names === 1 ? 'client' : 'clients'})`;
}

export function tlsText({ tls }: Credentials): string {
  return tls === null ? 'none' : `1.2 and 1.3, ${tls.subject} until ${tls.expiresAt.toISOString()}`;
}
