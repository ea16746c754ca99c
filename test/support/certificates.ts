/** Certificates and keys in files, made by openssl. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** A self-signed certificate for 127.0.0.1 under this common name, valid for `days` from now. */
export function makeCertificate(directory: string, name: string, days = 30): CertificateFiles {
  const cert = join(directory, `${name}.crt`);
  const key = join(directory, `${name}.key`);
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', String(days), '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', key, '-out', cert],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  return { cert, key };
}

/** As `makeCertificate`, but its last day was yesterday. */
export function makeExpiredCertificate(directory: string, name: string): CertificateFiles {
  const { key } = makeCertificate(directory, name);
  const request = join(directory, `${name}.csr`);
  const cert = join(directory, `${name}.expired.crt`);
  const stdio = ['ignore', 'ignore', 'pipe'] as const;
  execFileSync('openssl', ['req', '-new', '-key', key, '-subj', `/CN=${name}`, '-out', request], {
    stdio: [...stdio],
  });
  execFileSync('openssl', ['x509', '-req', '-in', request, '-signkey', key, '-days', '-1', '-out', cert], {
    stdio: [...stdio],
  });
  return { cert, key };
}
