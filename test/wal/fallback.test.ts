/** The back-end that the write-ahead log chooses where the kernel refuses a better one, as containers do. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { post } from '../support/raw-http.ts';
import { startServer, WITH_WAL } from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';
import { requireTool } from '../support/tools.ts';
import { addonIsMissing } from './rig.ts';

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

const CASES = [
  { refused: ['io_uring_setup'], wal: 'aio (no io_uring: EPERM)' },
  { refused: ['io_uring_setup', 'io_setup'], wal: 'pool (no io_uring: EPERM)' },
] as const;

describe('where the kernel refuses a call', { skip: addonIsMissing() || requireTool('strace') }, () => {
  for (const { refused, wal } of CASES) {
    it(`${refused.join(' and ')}: the log runs with ${wal}`, async (t) => {
      // Not the system's temporary folder: it may be a tmpfs, which has no direct I/O.
      const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
      t.after(() => fs.rmSync(dataDir, { recursive: true, force: true }));
      const calls = refused.join(',');
      const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:error=EPERM`];
      const wrapper = [
        'strace',
        '--follow-forks',
        '--quiet=all',
        '--output=/dev/null',
        '--seccomp-bpf',
        ...inject,
      ];
      const server = await startServer(t, { dataDir, wrapper, args: ['--workers', '1'], env: WITH_WAL });
      assert.equal(server.listening.wal, wal);
      const name = uniqueName('fallback');
      assertAccepted(await post(server.port, namesBody(name)), 1);
      await server.stop();
      assert.deepEqual(
        readStored(dataDir).map((metric) => metric.name),
        [name],
      );
    });
  }
});
