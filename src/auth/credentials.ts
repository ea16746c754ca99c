/** Tokens and certificate, read from the files that the configuration names. */
import type { Config } from '../config/load.ts';
import type { ClassNames } from './class-names.ts';
import { checkTls, type TlsFacts, type TlsFiles } from './tls-files.ts';
import { readTokens } from './token-file.ts';
import type { TokenSet } from './token-set.ts';

export interface Credentials {
  /** Null: clients need no token. */
  readonly tokens: TokenSet | null;
  /** Null: plain HTTP. */
  readonly tls: TlsFacts | null;
  /** Risky, but allowed. */
  readonly warnings: readonly string[];
}

/** The options that name the files. */
export type CredentialFiles = Pick<Config, 'tokensFile' | 'tlsCert' | 'tlsKey'>;

export function tlsFilesOf({ tlsCert, tlsKey }: CredentialFiles): TlsFiles | null {
  return tlsCert === undefined || tlsKey === undefined ? null : { certFile: tlsCert, keyFile: tlsKey };
}

/** @throws MetricsStreamError CONFIG_INVALID; names file, line and remedy, never a token */
export function readCredentials(config: CredentialFiles, classes: ClassNames): Credentials {
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(text);
  const files = tlsFilesOf(config);
  // Certificates first: if they are refused, the names in the tokens file must not have received indexes.
  const tls = files === null ? null : checkTls(files, warn);
  const tokens = config.tokensFile === undefined ? null : readTokens(config.tokensFile, classes, warn);
  return { tokens, tls, warnings };
}
