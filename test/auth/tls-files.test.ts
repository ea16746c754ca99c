import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { checkTls } from '../../src/auth/tls-files.ts';
import { makeCertificate, makeExpiredCertificate } from '../support/certificates.ts';
import { temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

describe('certificate and key', { skip: requireTool('openssl') }, () => {
  const directory = temporaryDirectory({ after });
  const first = makeCertificate(directory, 'first.test');
  const second = makeCertificate(directory, 'second.test');

  function check(certFile: string, keyFile: string) {
    const warnings: string[] = [];
    const facts = checkTls({ certFile, keyFile }, (text) => warnings.push(text));
    return { facts, warnings: warnings.join('\n') };
  }

  it('that belong together pass, and show name and expiry', () => {
    const { facts, warnings } = check(first.cert, first.key);
    assert.equal(facts.subject, 'CN=first.test');
    const days = (facts.expiresAt.getTime() - Date.now()) / 86_400_000;
    assert.ok(days > 29 && days <= 30, `${days} days`);
    assert.equal(warnings, '');
  });

  it('that do not belong together are refused', () => {
    assert.throws(
      () => check(first.cert, second.key),
      /--tls-key .*second.test.key: is not the key of .*first.test.crt/,
    );
  });

  it('that are missing are refused by name', () => {
    assert.throws(
      () => check(join(directory, 'no.crt'), first.key),
      /--tls-cert .*no\.crt: cannot be read: no such file/,
    );
    assert.throws(
      () => check(first.cert, join(directory, 'no.key')),
      /--tls-key .*no\.key: cannot be read: no such file/,
    );
  });

  it('with other contents are refused, with the remedy', () => {
    const text = join(directory, 'text');
    writeFileSync(text, 'hello\n');
    assert.throws(() => check(text, first.key), /--tls-cert .*text: .*certificate chain in PEM/);
    assert.throws(() => check(first.cert, text), /--tls-key .*text: .*private key in PEM/);
    assert.throws(() => check(first.key, first.key), /--tls-cert/);
    assert.throws(() => check(first.cert, first.cert), /--tls-key/);
  });

  it('that expired, or will soon, cause a warning', () => {
    const expired = makeExpiredCertificate(directory, 'old.test');
    assert.match(check(expired.cert, expired.key).warnings, /--tls-cert .* expired .*: clients reject it/);
    const soon = makeCertificate(directory, 'soon.test', 3);
    assert.match(check(soon.cert, soon.key).warnings, /--tls-cert .* expires .*; renew it/);
  });

  it('that every user may read cause a warning', () => {
    const open = makeCertificate(directory, 'open.test');
    chmodSync(open.key, 0o644);
    assert.match(check(open.cert, open.key).warnings, /--tls-key .*open.test.key is readable by every user/);
  });
});
