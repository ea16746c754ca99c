/**
 * The other supported versions of Node.js. They serve and stop, and each passes a quarter of the end-to-end suite, which
 * the commit chooses. `npm run test:node` runs the whole suite under them.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
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

const QUARTERS = 4;
const OWN_MAJOR = Number(process.versions.node.split('.')[0]);

/** A number that differs from commit to commit; 0 where git does not know the commit. */
function commitNumber(): number {
  try {
    const hash = execFileSync('git', ['-C', ROOT, 'rev-parse', 'HEAD'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return Number.parseInt(hash.toString().slice(0, 8), 16);
  } catch {
    return 0;
  }
}

/** @returns the parts of the suite that the version runs: the versions never run the same quarter */
function quarterOf(major: number): string[] {
  const quarter = (commitNumber() + (major === 22 ? 0 : QUARTERS / 2)) % QUARTERS;
  const files = readdirSync(join(ROOT, 'dist/test/e2e')).filter(
    (name) => name.endsWith('.test.js') && !name.startsWith('node-versions'),
  );
  return files
    .sort()
    .filter((_, index) => index % QUARTERS === quarter)
    .map((name) => `e2e/${name}`);
}

function runTests(node: string, parts: string[]): Promise<{ code: unknown; output: string }> {
  // A nested runner that finds this variable reports to the runner above instead of running files.
  const env: NodeJS.ProcessEnv = { ...process.env, METRICSSTREAM_TEST_FILES_AT_ONCE: '1' };
  delete env.NODE_TEST_CONTEXT;
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env, maxBuffer: 256 << 20 };
    execFile(node, ['scripts/test.mjs', ...parts], options, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? error?.signal ?? 0, output: stdout + stderr }),
    );
  });
}

describe('a quarter of the end-to-end suite', { concurrency: true }, () => {
  for (const major of [22, 24]) {
    const skip = OWN_MAJOR === major ? 'the suite runs under it already' : skipReason(major);
    it(`passes under Node.js ${major}`, { skip }, async (t) => {
      const parts = quarterOf(major);
      t.diagnostic(parts.join(' '));
      const { code, output } = await runTests(binaryOf(major), parts);
      assert.equal(code, 0, output);
      const passed = Number(/^ℹ pass (\d+)$/m.exec(output)?.[1]);
      assert.ok(passed > parts.length, output);
    });
  }
});

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
