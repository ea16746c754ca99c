/** Reads tokens and certificate at the start and on request, and passes valid ones to the threads. Runs in main. */
import { type Stats, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../base/log.ts';
import { ClassNames } from './class-names.ts';
import { type CredentialFiles, type Credentials, readCredentials } from './credentials.ts';
import type { TokenSet } from './token-set.ts';

/** A file that changed this recently may still be written. */
const RECENT_MS = 1_000;
const SETTLE_MS = 200;
const SETTLE_TRIES = 10;

/** The threads that use the credentials. */
export interface CredentialUsers {
  setTokens(tokens: TokenSet): void;
  /** Reads the certificate's files again. @returns null, or why the old certificate stays */
  replaceCertificate(): Promise<string | null>;
}

export class CredentialKeeper {
  readonly classes = new ClassNames();
  /** Last valid credentials. */
  current: Credentials;
  private readonly config: CredentialFiles;
  private readonly log: Logger;
  private running = false;
  private requested = false;

  /** @throws MetricsStreamError CONFIG_INVALID */
  constructor(config: CredentialFiles, log: Logger) {
    this.config = config;
    this.log = log;
    this.current = readCredentials(config, this.classes);
    for (const warning of this.current.warnings) log.warn(warning);
  }

  /** Reads everything again. Requests that arrive during a reload cause one more. Never throws. */
  async reload(users: CredentialUsers): Promise<void> {
    if (this.current.tokens === null && this.current.tls === null) {
      this.log.info('nothing to reload: neither --tokens-file nor --tls-cert is given');
      return;
    }
    this.requested = true;
    if (this.running) return;
    this.running = true;
    while (this.requested) {
      this.requested = false;
      await this.reloadOnce(users);
    }
    this.running = false;
  }

  private async reloadOnce(users: CredentialUsers): Promise<void> {
    const problem = await this.apply(users);
    if (problem !== null) {
      this.log.error({ reason: problem }, 'reload failed: tokens and certificate stay as they were');
      return;
    }
    const { tls, warnings } = this.current;
    for (const warning of warnings) this.log.warn(warning);
    this.log.info(
      { auth: authText(this.current), ...(tls && { certificate: tls.subject, expires: tls.expiresAt }) },
      'reloaded',
    );
  }

  /** @returns null, or why nothing has changed */
  private async apply(users: CredentialUsers): Promise<string | null> {
    if (!(await this.areFilesSettled()))
      return 'the files are still being written; send SIGHUP when they are complete';
    let next: Credentials;
    try {
      next = readCredentials(this.config, this.classes);
    } catch (error) {
      return (error as Error).message;
    }
    // The threads keep an earlier certificate for its connections, so the same one again would only cost memory.
    const isNew = next.tls !== null && next.tls.digest !== this.current.tls?.digest;
    // The certificate first: threads may refuse it, but they cannot refuse tokens.
    const refused = isNew ? await users.replaceCertificate() : null;
    if (refused !== null) return refused;
    if (next.tokens !== null) users.setTokens(next.tokens);
    this.current = next;
    return null;
  }

  /** Waits, for about two seconds at most, until no file has changed for a moment. */
  private async areFilesSettled(): Promise<boolean> {
    const { tokensFile, tlsCert, tlsKey } = this.config;
    const paths = [tokensFile, tlsCert, tlsKey].filter((path) => path !== undefined);
    let before = stateOf(paths);
    for (let tries = 0; tries < SETTLE_TRIES; tries++) {
      if (Date.now() - before.changedMs > RECENT_MS) return true;
      await delay(SETTLE_MS);
      const after = stateOf(paths);
      if (after.text === before.text) return true;
      before = after;
    }
    return false;
  }
}

/** Differs after a file was written. */
function stateOf(paths: readonly string[]): { readonly text: string; readonly changedMs: number } {
  const stats = paths.map(statsOf);
  return {
    text: stats.map((file) => `${file?.ino} ${file?.size} ${file?.mtimeMs}`).join(),
    changedMs: Math.max(...stats.map((file) => file?.mtimeMs ?? 0)),
  };
}

/** Undefined for a file that is missing or out of reach: reading it reports the reason. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** The authentication of POST, for the log. */
export function authText({ tokens }: Credentials): string {
  if (tokens === null) return 'none';
  const names = tokens.clients.length;
  return `tokens (${tokens.clientOf.length} of ${names} ${names === 1 ? 'client' : 'clients'})`;
}

export function tlsText({ tls }: Credentials): string {
  return tls === null ? 'none' : `1.2 and 1.3, ${tls.subject} until ${tls.expiresAt.toISOString()}`;
}
