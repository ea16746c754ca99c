/** Without SIMD instructions or without address space, the single pass replaces the module and returns the same. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { suiteOwner } from '../support/clean-up.ts';
import { post } from '../support/raw-http.ts';
import { startServer, temporaryDirectory } from '../support/server-process.ts';

/** Tells V8 that the processor has no SSE4.1, which its SIMD instructions need. */
const WITHOUT_SIMD = '--no-enable-sse4-1';
const SIMD_URL = new URL('../../src/parser/simd/simd.js', import.meta.url).href;
const WARNING = 'the SIMD parser cannot run here';

/** Parses one body in a process of its own and prints the reason for a fallback and the lines. */
const SCRIPT = `
  const { createParser, unavailable } = await import(${JSON.stringify(SIMD_URL)});
  const parser = createParser({ maxBodyBytes: 65536, maxBatch: 10 });
  const body = Buffer.from('{"metrics":[{"name":"a","value":1,"tags":{"k": "v"}},{"name":"b","value":2e400}]}');
  parser.input.set(body);
  const outcome = parser.parse(body.length, 0, 5, 0);
  const out = Buffer.alloc(1024);
  const lines = out.toString('utf8', 0, parser.encode(out, new DataView(out.buffer, out.byteOffset), 0));
  console.log(JSON.stringify({ unavailable, outcome, rejected: parser.rejected, lines }));
`;
const RESULT = {
  outcome: 0,
  rejected: 1,
  lines: '{"timestamp":5,"name":"a","value":1,"type":"gauge","tags":{"k":"v"}}\n',
};

function parseApart(file: string, args: readonly string[]): { unavailable: string | null } {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const { unavailable, ...result } = JSON.parse(stdout);
  assert.deepEqual(result, RESULT);
  return { unavailable };
}

describe('SIMD parser', () => {
  const node = [process.execPath, '--input-type=module', '-e', SCRIPT] as const;

  it('uses its module in a process without restrictions', () => {
    assert.equal(parseApart(node[0], node.slice(1)).unavailable, null);
  });

  it('falls back if the processor has no SIMD instructions', {
    skip: process.arch !== 'x64' && 'the V8 option exists on x64 only',
  }, () => {
    assert.match(parseApart(node[0], [WITHOUT_SIMD, ...node.slice(1)]).unavailable ?? '', /SIMD unsupported/);
  });

  it('falls back if the address space is limited', () => {
    // Enough for Node.js, not for the 10 GB that a WebAssembly memory reserves.
    const { unavailable } = parseApart('bash', ['-c', 'ulimit -v 8000000; exec "$@"', 'bash', ...node]);
    assert.match(unavailable ?? '', /could not allocate memory/);
  });
});

describe('server without SIMD instructions', {
  skip: process.arch !== 'x64' && 'the V8 option exists on x64 only',
}, () => {
  const owner = suiteOwner();

  it('logs one line for all its threads and stores metrics', async () => {
    const script = join(temporaryDirectory(owner), 'node-without-simd');
    writeFileSync(script, `#!/bin/sh\nexec ${process.execPath} ${WITHOUT_SIMD} "$@"\n`);
    chmodSync(script, 0o755);
    const server = await startServer(owner, { node: script, args: ['--workers', '2'] });
    const { status } = await post(server.port, '{"metrics":[{"name":"a","value":1}]}');
    assert.equal(status, 200);
    await server.stop();
    const warnings = server.logs.filter(({ msg }) => String(msg).startsWith(WARNING));
    assert.equal(warnings.length, 1);
    assert.match(String(warnings[0]?.reason), /SIMD unsupported/);
  });
});
