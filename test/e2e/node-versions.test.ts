/** The server under the other supported versions of Node.js; `npm run test:node` runs the whole suite under them. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { ROOT } from '../support/deploy-files.ts';
import { fetchOnce, post } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

/** Where scripts/test-node.mjs installs a version. */
const binaryOf = (major: number): string =>
  join(ROOT, `.artifacts/node-${major}/node_modules/node-linux-${process.arch}/bin/node`);

function skipReason(major: number): string | false {
  if (existsSync(binaryOf(major))) return false;
  const reason = `Node.js ${major} is not installed: node scripts/test-node.mjs --install-only`;
  if (process.env.METRICSSTREAM_REQUIRE_TOOLS === '1') throw new Error(reason);
  return reason;
}

describe('under Node.js', () => {
  for (const major of [22, 24]) {
    it(`${major} the server starts, stores and stops`, { skip: skipReason(major) }, async (t) => {
      const server = await startServer(t, { node: binaryOf(major), args: ['--workers', '2'] });
      const name = uniqueName('node');
      for (let k = 0; k < 4; k++) assertAccepted(await post(server.port, namesBody(name)), 1);
      const { body } = await fetchOnce(server.port, { path: '/metrics' });
      assert.match(body.toString(), new RegExp(`^metricsstream_build_info\\{.*node="v${major}\\.`, 'm'));
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.equal(countNames(readStored(server.dataDir)).get(name), 4);
    });

    it(`${major} a thread for each request gets a decompressed body`, {
      skip: skipReason(major),
    }, async (t) => {
      const server = await startServer(t, { node: binaryOf(major), args: ['--phase', '4'] });
      const body = gzipSync(namesBody(uniqueName('gzip')));
      assertAccepted(await post(server.port, body, { headers: { 'Content-Encoding': 'gzip' } }), 1);
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
    });
  }
});
