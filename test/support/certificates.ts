/** Certificates and keys in files, made by openssl. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

const P256 = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

/**
 * A self-signed certificate for 127.0.0.1 under this common name, valid for `days` from now.
 * @param keyKind as `openssl req -newkey` reads it
 */
export function makeCertificate(
  directory: string,
  name: string,
  days = 30,
  keyKind: readonly string[] = P256,
): CertificateFiles {
  const cert = join(directory, `${name}.crt`);
  const key = join(directory, `${name}.key`);
  openssl(
    ...['req', '-x509', '-newkey', ...keyKind, '-nodes'],
    ...['-days', String(days), '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', key, '-out', cert],
  );
  return { cert, key };
}

const YEARS_AGO = ['-not_before', '20200101000000Z', '-not_after', '20200201000000Z'];
/** OpenSSL before 3.4 cannot set a start date in the past. */
const ENDED_BEFORE_IT_BEGAN = ['-days', '-1'];

/** As `makeCertificate`, but expired. */
export function makeExpiredCertificate(directory: string, name: string): CertificateFiles {
  const { key } = makeCertificate(directory, name);
  const request = join(directory, `${name}.csr`);
  const cert = join(directory, `${name}.expired.crt`);
  openssl('req', '-new', '-key', key, '-subj', `/CN=${name}`, '-out', request);
  const sign = ['x509', '-req', '-in', request, '-signkey', key, '-out', cert];
  try {
    openssl(...sign, ...YEARS_AGO);
  } catch {
    openssl(...sign, ...ENDED_BEFORE_IT_BEGAN);
  }
  return { cert, key };
}
