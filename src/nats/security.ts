/** How a connection to NATS proves who it is, and checks whom it talks to. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls';
import { type ConnectionOptions, credsAuthenticator, nkeyAuthenticator } from '@nats-io/transport-node';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import type { NatsAddress } from './address.ts';

/** Files that `--nats-…` options name. */
export interface NatsFiles {
  /** Credentials (JWT and key) as `nsc` writes them. */
  readonly creds?: string;
  /** The seed of an NKey, as `nk` writes it. */
  readonly nkey?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

type Security = Pick<ConnectionOptions, 'authenticator' | 'user' | 'pass' | 'token' | 'tls'>;

/** Node checks a certificate against this name if a connection was made to an address. */
const NAME_OF_ADDRESSES = 'localhost';
const SEED = /^SU[A-Z2-7]{56}$/;

/** @throws MetricsStreamError CONFIG_INVALID for files that cannot be used */
export function securityOf(address: NatsAddress, files: NatsFiles): Security {
  return { ...loginOf(address, files), ...tlsOf(address, files) };
}

function loginOf({ user, password, token }: NatsAddress, { creds, nkey }: NatsFiles): Security {
  if (creds !== undefined && nkey !== undefined)
    throw invalid('--nats-creds and --nats-nkey: give one of them');
  if (creds !== undefined) return { authenticator: credsAuthenticator(credentialsIn(creds)) };
  if (nkey !== undefined) return { authenticator: nkeyAuthenticator(seedIn(nkey)) };
  if (user !== undefined) return { user, pass: password ?? '' };
  return token === undefined ? {} : { token };
}

function credentialsIn(path: string): Uint8Array {
  const content = readOption('--nats-creds', path);
  if (/BEGIN NATS USER JWT/.test(content.toString())) return content;
  throw invalid(`--nats-creds ${path}: is not a credentials file; nsc generate creds writes one`);
}

function seedIn(path: string): Uint8Array {
  const seed = readOption('--nats-nkey', path).toString().trim();
  if (SEED.test(seed)) return Buffer.from(seed);
  throw invalid(`--nats-nkey ${path}: is not the seed of a user; nk -gen user writes one`);
}

function readOption(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw invalid(`${option} ${path}: ${systemErrorText(error)}`);
  }
}

function tlsOf({ isTls, servers }: NatsAddress, { tlsCa, tlsCert, tlsKey }: NatsFiles): Security {
  if (tlsCa !== undefined) checkAuthority(tlsCa);
  if (tlsCert !== undefined || tlsKey !== undefined) checkPair(tlsCert, tlsKey);
  const wantsTls = isTls || tlsCa !== undefined || tlsCert !== undefined;
  const identity = { checkServerIdentity: identityOf(servers) };
  // Files by name: the client reads them at each connection, so a renewed certificate takes effect.
  const named = {
    ...(tlsCa === undefined ? {} : { caFile: tlsCa }),
    ...(tlsCert === undefined ? {} : { certFile: tlsCert }),
    ...(tlsKey === undefined ? {} : { keyFile: tlsKey }),
  };
  return wantsTls ? { tls: { ...named, ...identity } } : {};
}

/**
 * The client does not tell Node which address it has connected to, so that no certificate for an address would match. Any
 * address that the user gave is as good as another one.
 */
function identityOf(servers: readonly string[]): typeof checkServerIdentity {
  const possible = servers
    .map((server) => server.replace(/:\d+$/, '').replaceAll(/[[\]]/g, ''))
    .filter((host) => isIP(host) !== 0 || host === NAME_OF_ADDRESSES);
  return (name: string, certificate: PeerCertificate) => {
    const names = name === NAME_OF_ADDRESSES && possible.length > 0 ? possible : [name];
    const problems = names.map((one) => checkServerIdentity(one, certificate));
    return problems.includes(undefined) ? undefined : problems[0];
  };
}

function checkAuthority(path: string): void {
  const content = readOption('--nats-tls-ca', path);
  try {
    new X509Certificate(content);
  } catch {
    throw invalid(`--nats-tls-ca ${path}: is not a certificate in PEM form`);
  }
}

function checkPair(cert: string | undefined, key: string | undefined): void {
  if (cert === undefined || key === undefined)
    throw invalid('--nats-tls-cert and --nats-tls-key: give both, or none');
  const files = { cert: readOption('--nats-tls-cert', cert), key: readOption('--nats-tls-key', key) };
  try {
    createSecureContext(files);
  } catch (error) {
    throw invalid(`--nats-tls-cert ${cert}, --nats-tls-key ${key}: ${(error as Error).message}`);
  }
}

function invalid(message: string): MetricsStreamError {
  return new MetricsStreamError('CONFIG_INVALID', message);
}
