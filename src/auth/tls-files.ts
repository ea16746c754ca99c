/**
 * Certificate and key of HTTPS, checked before uWebSockets.js opens them: its own error does not say which of the two is
 * wrong, or why.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { readSmallFile, type SmallFile } from '../base/small-file.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TlsFacts {
  /** Distinguished name of the first certificate. */
  readonly subject: string;
  readonly expiresAt: Date;
  /** Of the bytes of both files. */
  readonly digest: string;
}

/** A chain of dozens of certificates. */
const FILE_MAX_BYTES = 1 << 20;
const BYTE_ORDER_MARK = Buffer.from('\uFEFF');
const OTHERS_MAY_READ = 0o004;
const DAY_MS = 86_400_000;
/** Certificates are usually renewed a month ahead. Two weeks left mean that the renewal failed. */
const EXPIRY_WARNING_MS = 14 * DAY_MS;

function read(option: string, path: string): SmallFile {
  let file: SmallFile;
  try {
    file = readSmallFile(path, FILE_MAX_BYTES);
  } catch (error) {
    throw invalid(option, path, (error as Error).message);
  }
  // OpenSSL accepts it, BoringSSL does not.
  if (BYTE_ORDER_MARK.equals(file.bytes.subarray(0, BYTE_ORDER_MARK.length)))
    throw invalid(option, path, 'begins with a byte order mark; save it as plain text');
  // uWebSockets.js opens it by name in every thread, and again on reload.
  if (!file.stats.isFile()) throw invalid(option, path, 'must be a regular file');
  return file;
}

function invalid(option: string, path: string, problem: string): MetricsStreamError {
  return new MetricsStreamError('CONFIG_INVALID', `${option} ${path}: ${problem}`);
}

/** Curves with which BoringSSL completes handshakes as a server. */
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];
/** Clients that follow the CA/Browser Forum's baseline requirements reject shorter keys. */
const RSA_MIN_BITS = 2_048;
export const USABLE_KEYS = 'an RSA key, an EC key on P-256, P-384 or P-521, or an Ed25519 key';

/** @returns what is wrong with the kind of key, or null */
function keyProblem({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string | null {
  if (type === 'rsa' || type === 'ed25519') return null;
  if (type === 'ec' && CURVES.includes(details?.namedCurve ?? '')) return null;
  const kind = type === 'ec' ? `EC key on ${details?.namedCurve}` : `${type} key`;
  return `TLS does not work with an ${kind} here (BoringSSL); use ${USABLE_KEYS}`;
}

function attempt<Result>(option: string, path: string, remedy: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    throw invalid(option, path, `${systemErrorText(error)}; ${remedy}`);
  }
}

/**
 * @param warn called with each risk that is allowed
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function checkTls({ certFile, keyFile }: TlsFiles, warn: (text: string) => void): TlsFacts {
  const { bytes: cert } = read('--tls-cert', certFile);
  const { bytes: key, stats: keyStats } = read('--tls-key', keyFile);
  const first = attempt(
    '--tls-cert',
    certFile,
    'give a certificate chain in PEM, the server first',
    () => new X509Certificate(cert),
  );
  const privateKey = attempt('--tls-key', keyFile, 'give a private key in PEM, without a passphrase', () =>
    createPrivateKey(key),
  );
  const problem = keyProblem(privateKey);
  if (problem !== null) throw invalid('--tls-key', keyFile, problem);
  const { modulusLength = RSA_MIN_BITS } = privateKey.asymmetricKeyDetails ?? {};
  if (modulusLength < RSA_MIN_BITS) {
    warn(
      `--tls-key ${keyFile} has ${modulusLength} bits: clients reject RSA keys below ${RSA_MIN_BITS} bits`,
    );
  }
  if (!first.checkPrivateKey(privateKey)) {
    throw invalid('--tls-key', keyFile, `is not the key of the first certificate in ${certFile}`);
  }
  attempt('--tls-cert', certFile, 'OpenSSL rejects chain and key', () =>
    createSecureContext({ cert, key, minVersion: 'TLSv1.2' }),
  );
  if ((keyStats.mode & OTHERS_MAY_READ) !== 0) {
    warn(`--tls-key ${keyFile} is readable by every user of this machine; run chmod o-r on it`);
  }
  const expiresAt = new Date(first.validTo);
  const leftMs = expiresAt.getTime() - Date.now();
  if (leftMs <= 0) {
    warn(
      `--tls-cert ${certFile} expired ${expiresAt.toISOString()}: clients reject it; renew it and send SIGHUP`,
    );
  } else if (leftMs < EXPIRY_WARNING_MS) {
    warn(`--tls-cert ${certFile} expires ${expiresAt.toISOString()}; renew it and send SIGHUP`);
  }
  if (new Date(first.validFrom).getTime() > Date.now()) {
    warn(`--tls-cert ${certFile} is not valid before ${first.validFrom}: clients reject it until then`);
  }
  const digest = createHash('sha256').update(cert).update(key).digest('hex');
  return { subject: first.subject.replaceAll('\n', ', '), expiresAt, digest };
}
