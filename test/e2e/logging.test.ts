/** A log that cannot be written never stops or delays the server. */
import assert from 'node:assert/strict';
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../load-test/free-port.ts';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { onEnd } from '../support/clean-up.ts';
import { Scrape } from '../support/exposition.ts';
import { fetchOnce, post } from '../support/raw-http.ts';
import {
  memoryDirectory,
  PATIENT_ENVIRONMENT,
  startServer,
  temporaryDirectory,
} from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const START_MS = 60_000;

interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  readonly dataDir: string;
  readonly exited: Promise<number | null>;
}

/** A server whose output goes elsewhere. */
async function start(
  t: TestContext,
  stdio: StdioOptions,
  wrapped?: (command: string) => string[],
): Promise<Running> {
  const port = await freePort();
  const dataDir = temporaryDirectory(t);
  const serve = [
    process.execPath,
    MAIN,
    'serve',
    '--port',
    String(port),
    '--workers',
    '1',
    '--data-dir',
    dataDir,
  ];
  const [program = '', ...args] =
    wrapped === undefined ? serve : wrapped(serve.map((part) => `'${part}'`).join(' '));
  const child = spawn(program, args, { stdio, env: { ...process.env, ...PATIENT_ENVIRONMENT } });
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  onEnd(t, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const ready = () =>
    fetchOnce(port, { path: '/ready' }).then(
      ({ status }) => status === 200,
      () => false,
    );
  await eventually('the server is ready', ready, START_MS);
  return { child, port, dataDir, exited };
}

const lostLines = async (port: number): Promise<number> =>
  (await Scrape.of(port)).sum('metricsstream_log_lines_lost_total');

async function assertServes(port: number): Promise<void> {
  assertAccepted(await post(port, namesBody(uniqueName('log'))), 1);
}

describe('a log that cannot be written', () => {
  it('because the disk is full is counted, and the server serves and drains', async (t) => {
    const { child, port, exited } = await start(t, ['ignore', openSync('/dev/full', 'w'), 'ignore']);
    await assertServes(port);
    const before = await lostLines(port);
    assert.ok(before >= 2, 'the lines of the start');
    child.kill('SIGHUP');
    await eventually('another line is lost', async () => (await lostLines(port)) > before);
    await assertServes(port);
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
  });

  it('because nobody reads the pipe holds up neither scrapes nor the drain', async (t) => {
    const { child, port, exited } = await start(t, ['ignore', 'pipe', 'ignore']);
    child.stdout?.pause();
    // Each reload logs more than a hundred bytes; a pipe holds 64 KiB.
    for (let k = 0; k < 1_000; k++) {
      child.kill('SIGHUP');
      if (k % 100 === 0) await assertServes(port);
    }
    assert.equal((await fetchOnce(port, { path: '/metrics' })).status, 200);
    child.kill('SIGTERM');
    const code = new Promise((resolve) => child.once('exit', resolve));
    assert.equal(await code, 0);
    child.stdout?.destroy();
    await exited;
  });

  it('because the reader has gone away is counted', async (t) => {
    const { child, port, exited } = await start(t, ['ignore', 'pipe', 'ignore']);
    child.stdout?.destroy();
    child.kill('SIGHUP');
    await eventually('a line is lost', async () => {
      child.kill('SIGHUP');
      return (await lostLines(port)) > 0;
    });
    await assertServes(port);
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
  });

  it('because its terminal was closed is counted, and the end is in good order', {
    skip: requireTool('script', 'bsdutils'),
  }, async (t) => {
    // `script` runs the server on a terminal of its own, which closes when `script` is killed.
    const ended = join(memoryDirectory(t), 'ended');
    const { child, port } = await start(t, ['ignore', 'ignore', 'ignore'], (command) => {
      const reported = `trap : HUP; ${command}; echo $? > '${ended}'`;
      return ['script', '-qfc', reported, '/dev/null'];
    });
    const pid = serverOn(port);
    onEnd(t, () => {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended, as it should.
      }
    });
    child.kill('SIGKILL');
    await eventually('a line is lost', async () => {
      process.kill(pid, 'SIGHUP');
      return (await lostLines(port)) > 0;
    });
    await assertServes(port);
    process.kill(pid, 'SIGTERM');
    await eventually(
      'its shell reports the exit code',
      () => existsSync(ended) && readFileSync(ended).length > 0,
    );
    assert.equal(readFileSync(ended, 'utf8'), '0\n');
  });
});

/** The process that was started with this port. */
function serverOn(port: number): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (args[1] === MAIN && args.includes(String(port))) return Number(pid);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error(`no server on port ${port}`);
}

describe('a log that logrotate has renamed', () => {
  it('is opened again on SIGUSR2, with --log-file', async (t) => {
    const path = join(temporaryDirectory(t), 'server.log');
    const port = await freePort();
    const starting = startServer(t, {
      args: ['--workers', '1', '--port', String(port), '--log-file', path],
    });
    // The harness waits for a line on standard output, which stays empty.
    starting.catch(() => {});
    const ready = () =>
      fetchOnce(port, { path: '/ready' }).then(
        ({ status }) => status === 200,
        () => false,
      );
    await eventually('the server is ready', ready, START_MS);
    // The log is written behind the first answers.
    await eventually('the log has its first lines', () => /"listening"/.test(readFileSync(path, 'utf8')));
    const [, pid] = /"pid":(\d+)/.exec(readFileSync(path, 'utf8'))!;
    renameSync(path, `${path}.1`);
    process.kill(Number(pid), 'SIGUSR2');
    await eventually('the new file has a line', () => {
      try {
        return /reopened the log/.test(readFileSync(path, 'utf8'));
      } catch {
        return false;
      }
    });
    assert.match(readFileSync(`${path}.1`, 'utf8'), /"listening"/);
  });

  it('stays open with a warning if its name cannot be opened', async (t) => {
    const directory = temporaryDirectory(t);
    const path = join(directory, 'logs', 'server.log');
    mkdirSync(dirname(path));
    const { child, port } = await start(t, ['ignore', openSync(path, 'a'), 'ignore']);
    const moved = join(directory, 'moved');
    renameSync(dirname(path), moved);
    child.kill('SIGUSR2');
    await eventually('the old file has the warning', () =>
      /"level":"warn".*"the log stays in its old file"/.test(readFileSync(join(moved, 'server.log'), 'utf8')),
    );
    await assertServes(port);
  });

  it('is opened again when standard output is that file', async (t) => {
    const path = join(temporaryDirectory(t), 'server.log');
    const { child, port } = await start(t, ['ignore', openSync(path, 'a'), 'ignore']);
    renameSync(path, `${path}.1`);
    child.kill('SIGUSR2');
    await eventually('the new file has a line', () => {
      try {
        return /reopened the log/.test(readFileSync(path, 'utf8'));
      } catch {
        return false;
      }
    });
    await assertServes(port);
  });

  it('is written from its beginning when standard output is a file that `copytruncate` has emptied', async (t) => {
    const path = join(temporaryDirectory(t), 'server.log');
    const { port, dataDir } = await start(t, ['ignore', openSync(path, 'w'), 'ignore']);
    await eventually('the log of the start is complete', () => /"try: curl/.test(readFileSync(path, 'utf8')));
    truncateSync(path);
    // The server logs that, and a signal would make it open the file again.
    rmSync(join(dataDir, 'log.json'));
    await eventually('the file has a line', () => readFileSync(path, 'utf8') !== '');
    assert.match(readFileSync(path, 'utf8'), /^\{"level":"warn",.*log\.json was deleted/);
    await assertServes(port);
  });
});
