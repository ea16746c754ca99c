/**
 * Certificate and key of HTTPS, checked before uWebSockets.js gets their names: it says of a broken pair only that the
 * app could not be constructed.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { MetricsStreamError } from '../base/errors.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TlsFacts {
  /** Distinguished name of the first certificate. */
  readonly subject: string;
  readonly expiresAt: Date;
}

const OTHERS_MAY_READ = 0o004;
const DAY_MS = 86_400_000;
/** Renewal usually happens a month ahead; two weeks left means that it has failed. */
const EXPIRY_WARNING_MS = 14 * DAY_MS;

function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw invalid(option, path, `${(error as Error).message}; is it there, and may this process read it?`);
  }
}

function invalid(option: string, path: string, problem: string): MetricsStreamError {
  return new MetricsStreamError('CONFIG_INVALID', `${option} ${path}: ${problem}`);
}

function attempt<Result>(option: string, path: string, remedy: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    throw invalid(option, path, `${(error as Error).message}; ${remedy}`);
  }
}

/**
 * @param warn told of what is risky but no error
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function checkTls({ certFile, keyFile }: TlsFiles, warn: (text: string) => void): TlsFacts {
  const cert = read('--tls-cert', certFile);
  const key = read('--tls-key', keyFile);
  const first = attempt(
    '--tls-cert',
    certFile,
    'it has to be a certificate chain in PEM, the server first',
    () => new X509Certificate(cert),
  );
  const privateKey = attempt(
    '--tls-key',
    keyFile,
    'it has to be a private key in PEM, without a passphrase',
    () => createPrivateKey(key),
  );
  if (!first.checkPrivateKey(privateKey)) {
    throw invalid('--tls-key', keyFile, `is not the key of the first certificate in ${certFile}`);
  }
  attempt('--tls-cert', certFile, 'OpenSSL takes neither the chain nor the key', () =>
    createSecureContext({ cert, key, minVersion: 'TLSv1.2' }),
  );
  if ((statSync(keyFile).mode & OTHERS_MAY_READ) !== 0) {
    warn(`--tls-key ${keyFile} may be read by every user of this machine: chmod o-r it`);
  }
  const expiresAt = new Date(first.validTo);
  const leftMs = expiresAt.getTime() - Date.now();
  if (leftMs <= 0) {
    warn(
      `--tls-cert ${certFile} expired ${expiresAt.toISOString()}: clients will refuse it; renew it and send SIGHUP`,
    );
  } else if (leftMs < EXPIRY_WARNING_MS) {
    warn(`--tls-cert ${certFile} expires ${expiresAt.toISOString()}: renew it and send SIGHUP`);
  }
  if (new Date(first.validFrom).getTime() > Date.now()) {
    warn(`--tls-cert ${certFile} is not valid before ${first.validFrom}: clients will refuse it until then`);
  }
  return { subject: first.subject.replaceAll('\n', ', '), expiresAt };
}
