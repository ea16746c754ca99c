import assert from 'node:assert/strict';
import { copyFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { pino } from 'pino';
import { CredentialKeeper } from '../../src/auth/credential-keeper.ts';
import { makeCertificate } from '../support/certificates.ts';
import { temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

it('a reload replaces only a certificate that has changed', { skip: requireTool('openssl') }, async (t) => {
  const directory = temporaryDirectory(t);
  const files = { tlsCert: join(directory, 'crt'), tlsKey: join(directory, 'key') };
  const put = (name: string): void => {
    const { cert, key } = makeCertificate(directory, name);
    copyFileSync(cert, files.tlsCert);
    copyFileSync(key, files.tlsKey);
    // Files that changed a moment ago may still be written, and are waited for.
    for (const file of Object.values(files)) utimesSync(file, 1, 1);
  };
  put('first.test');
  const keeper = new CredentialKeeper({ ...files, tokensFile: undefined }, pino({ level: 'silent' }));
  const replaced: string[] = [];
  const users = {
    setTokens: () => {},
    replaceCertificate: async () => {
      replaced.push('replaced');
      return null;
    },
  };
  await keeper.reload(users);
  await keeper.reload(users);
  assert.deepEqual(replaced, []);
  put('second.test');
  await keeper.reload(users);
  await keeper.reload(users);
  assert.deepEqual(replaced, ['replaced']);
  assert.equal(keeper.current.tls?.subject, 'CN=second.test');
});
