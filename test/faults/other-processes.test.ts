/** The server while other processes touch its data directory, as an operator, an archiver or a second server would. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { namesBody } from '../support/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { namespaceRefusal, UNSHARE } from '../support/namespaces.ts';
import { mountRefusal, PrivateMount } from '../support/private-mount.ts';
import { fetchOnce, post as postBody } from '../support/raw-http.ts';
import {
  memoryDirectory,
  runCli,
  type ServerProcess,
  type StartFailed,
  startServer,
  temporaryDirectory,
  verify,
} from '../support/server-process.ts';
import { readStored, segmentPaths } from '../support/stored.ts';

const PHASES = [6, 1] as const;
const ARGS = ['--workers', '1', '--rate-limit', '0'];
const NOBODY = 65_534;
/**
 * Within this time a change must be found: two seconds, and more for a busy machine. The data is in memory, since a
 * stalled disk would delay that.
 */
const DETECTION_MS = 10_000;

async function post(server: ServerProcess, name = 'm'): Promise<number> {
  const { status } = await postBody(server.port, namesBody(name));
  return status;
}

function problemsOf(server: ServerProcess): string[] {
  return server.logs
    .filter(({ level }) => level === 'error' || level === 'warn')
    .map(({ msg, how, what }) => `${msg} ${how ?? what ?? ''}`);
}

function assertNoStackTrace(output: string): void {
  assert.doesNotMatch(output, /^\s+at /m);
}

const namesIn = (dataDir: string): string[] => readStored(dataDir).map(({ name }) => name);

describe('segments that other processes change', () => {
  for (const phase of PHASES) {
    const start = (owner: Owner, ...args: string[]) =>
      startServer(owner, {
        args: [...ARGS, '--phase', String(phase), ...args],
        dataDir: memoryDirectory(owner),
      });

    it(`phase ${phase}: all swept while the server runs: it stores into new ones, and verify reports the loss`, async (t) => {
      const server = await start(t);
      assert.equal(await post(server, 'lost'), 200);
      for (const name of fs.readdirSync(server.dataDir)) fs.rmSync(join(server.dataDir, name));
      assert.equal(await post(server, 'kept'), 200);
      await server.logged(
        ({ msg }) => msg === 'another process changed the open segment; beginning another',
        DETECTION_MS,
      );
      assert.deepEqual(namesIn(server.dataDir), ['kept']);
      assert.equal(problemsOf(server).filter((text) => text.includes('open segment')).length, 1);
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      const { code, stdout } = await verify(server.dataDir);
      assert.equal(code, 1);
      assert.match(stdout, /MISSING: commit 1 is missing/);
      assertNoStackTrace(server.output());
    });

    it(`phase ${phase}: moved within the file system: found without a commit, and new metrics go to a new file`, async (t) => {
      const server = await start(t);
      assert.equal(await post(server, 'before'), 200);
      fs.renameSync(segmentPaths(server.dataDir)[0]!, join(server.dataDir, 'archived.ndjson'));
      await server.logged(({ how }) => how === 'deleted or moved away', DETECTION_MS);
      assert.equal(await post(server, 'after'), 200);
      assert.deepEqual(namesIn(server.dataDir), ['after']);
      assert.equal((await runCli(['verify', '--archived', '--data-dir', server.dataDir])).code, 0);
    });

    it(`phase ${phase}: copied and truncated, as logrotate's copytruncate does: the next commit begins a file`, async (t) => {
      const server = await start(t);
      assert.equal(await post(server, 'before'), 200);
      const [path] = segmentPaths(server.dataDir);
      fs.copyFileSync(path!, join(server.dataDir, 'copy'));
      fs.truncateSync(path!);
      assert.equal(await post(server, 'after'), 200);
      assert.equal(fs.statSync(path!).size, 0);
      assert.deepEqual(namesIn(server.dataDir), ['after']);
      assert.equal((await verify(server.dataDir)).code, 1);
    });
  }

  it('archived while the server is stopped: numbers and log id continue', async (t) => {
    const first = await startServer(t, { args: ARGS });
    for (let k = 0; k < 3; k++) assert.equal(await post(first), 200);
    await first.stop();
    const { log } = JSON.parse((await runCli(['verify', '--json', '--data-dir', first.dataDir])).stdout);
    const archive = temporaryDirectory(t);
    for (const path of segmentPaths(first.dataDir)) fs.renameSync(path, join(archive, 'archived'));
    const second = await startServer(t, { args: ARGS, dataDir: first.dataDir });
    assert.equal(await post(second), 200);
    await second.stop();
    const [path] = segmentPaths(second.dataDir);
    assert.match(path!, /metrics-00000002\.ndjson$/);
    assert.match(fs.readFileSync(path!, 'utf8'), /"seal":\{"commit":4,/);
    const after = JSON.parse((await runCli(['verify', '--json', '--data-dir', first.dataDir])).stdout);
    assert.equal(after.log, log);
    assert.equal(after.ok, false);
  });
});

describe('the directory, changed by other processes', () => {
  for (const phase of PHASES) {
    it(`phase ${phase}: removed and recreated: 503 in between, then stores there with the next numbers`, async (t) => {
      const args = [...ARGS, '--phase', String(phase)];
      const server = await startServer(t, { args, dataDir: memoryDirectory(t) });
      assert.equal(await post(server, 'lost'), 200);
      // The server may create a spare meanwhile.
      fs.rmSync(server.dataDir, { recursive: true, maxRetries: 10 });
      await eventually('metrics are refused', async () => (await post(server)) === 503, DETECTION_MS + 3_000);
      assert.equal((await fetchOnce(server.port, { path: '/ready' })).status, 503);
      fs.mkdirSync(server.dataDir);
      await eventually('metrics are stored', async () => (await post(server, 'kept')) === 200);
      assert.deepEqual(namesIn(server.dataDir), ['kept']);
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.equal((await verify(server.dataDir)).code, 1);
      assertNoStackTrace(server.output());
    });
  }

  it('covered by another mount: refuses and stores nothing there until the mount is gone', async (t) => {
    const refusal = mountRefusal();
    if (refusal !== null) return t.skip(refusal);
    const mount = await PrivateMount.open(t);
    const dataDir = join(mount.directory, 'data');
    const inside = join(mount.inside, 'data');
    await mount.run(`mount -t tmpfs -o size=64m tmpfs ${mount.inside} && mkdir ${inside}`);
    const server = await startServer(t, { args: [...ARGS, '--min-free-bytes', '0'], dataDir });
    assert.equal(await post(server, 'before'), 200);
    await mount.run(`mount -t tmpfs -o size=64m tmpfs ${inside}`);
    await eventually('metrics are refused', async () => (await post(server)) === 503, DETECTION_MS + 3_000);
    assert.deepEqual(segmentPaths(dataDir), []);
    await mount.run(`umount ${inside}`);
    await eventually('metrics are stored', async () => (await post(server, 'after')) === 200);
    const names = namesIn(dataDir);
    assert.deepEqual([names[0], names.at(-1)], ['before', 'after']);
    await server.stop();
  });
});

describe('a second server', () => {
  it('in other network, mount and PID namespaces gets one line and exit code 1; nothing is lost', async (t) => {
    const refusal = namespaceRefusal();
    if (refusal !== null) return t.skip(refusal);
    const first = await startServer(t, { args: ARGS });
    assert.equal(await post(first, 'a'), 200);
    // A loopback interface to listen on, and another path to the same directory.
    const other = temporaryDirectory(t);
    const script = `ip link set lo up; mount --bind ${first.dataDir} ${other}; exec "$0" "$@"`;
    for (const dataDir of [first.dataDir, other]) {
      const second = startServer(t, { args: ARGS, dataDir, wrapper: [...UNSHARE, 'sh', '-c', script] });
      await assert.rejects(second, (error: StartFailed) => {
        assert.equal(error.exit.code, 1, error.output);
        assert.match(error.output, new RegExp(`in use by process ${first.pid} on .*Stop that process`));
        assert.equal(error.output.trim().split('\n').length, 1, error.output);
        return true;
      });
    }
    assert.equal(await post(first, 'b'), 200);
    await first.stop();
    assert.deepEqual(namesIn(first.dataDir), ['a', 'b']);
    assert.equal((await verify(first.dataDir)).code, 0);
  });
});

describe('files of another user', () => {
  it('end serve, verify and tail with one line that names the file', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('changing the owner of files needs root');
    const server = await startServer(t, { args: ARGS });
    assert.equal(await post(server), 200);
    await server.stop();
    fs.chownSync(server.dataDir, NOBODY, NOBODY);
    for (const command of ['serve', 'verify', 'tail']) {
      const { status, stderr } = spawnSync(
        'setpriv',
        [
          ...['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'],
          ...[process.execPath, 'dist/src/main.js', command, '--data-dir', server.dataDir],
          ...(command === 'serve' ? ['--port', '0'] : []),
        ],
        { encoding: 'utf8', timeout: 180_000 },
      );
      assert.equal(status, 1, `${command}: ${stderr}`);
      assertNoStackTrace(stderr);
      assert.match(stderr, /EACCES/, command);
    }
  });
});
