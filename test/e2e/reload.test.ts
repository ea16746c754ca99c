/** SIGHUP while the files of tokens and certificate are out of reach. */
import assert from 'node:assert/strict';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { post } from '../support/raw-http.ts';
import { startServer, temporaryDirectory } from '../support/server-process.ts';

const TOKEN = 'web-token-0123456789abcdef';

it('SIGHUP keeps the old tokens while their file cannot be reached, and reads it once it can', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'tokens');
  writeFileSync(path, `web ${TOKEN}\n`, { mode: 0o600 });
  const server = await startServer(t, { args: ['--workers', '1', '--tokens-file', path] });
  const send = () =>
    post(server.port, namesBody(uniqueName('reload')), { headers: { Authorization: `Bearer ${TOKEN}` } });
  assertAccepted(await send(), 1);
  renameSync(path, `${path}.away`);
  // A link to itself: not even root reaches a file through it.
  symlinkSync('tokens', path);
  server.kill('SIGHUP');
  const line = await server.logged(({ msg }) => /reload failed/.test(String(msg)));
  assert.match(String(line.reason), /--tokens-file .*cannot be read: too many symbolic links/);
  assertAccepted(await send(), 1);
  renameSync(`${path}.away`, path);
  server.kill('SIGHUP');
  await server.logged(({ msg }) => msg === 'reloaded');
  assertAccepted(await send(), 1);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
