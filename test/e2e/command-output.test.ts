/** Commands whose output cannot be written, and starts that cannot succeed: one line, an exit code, no stack trace. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { mountRefusal, PrivateMount } from '../support/private-mount.ts';
import { limitedProcesses } from '../support/process-group.ts';
import { post } from '../support/raw-http.ts';
import { runCli, startServer, temporaryDirectory } from '../support/server-process.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

function assertOneLine(text: string): void {
  assert.match(text, /^metricsstream: [^\n]+\n$/);
}

const stored = await startServer({ after }, { args: ['--workers', '1'] });
for (let k = 0; k < 5; k++) assertAccepted(await post(stored.port, namesBody(uniqueName('line'))), 1);
const directory = ['--data-dir', stored.dataDir];

const COMMANDS = [
  ['--help'],
  ['--version'],
  ['serve', '--help'],
  ['config'],
  ['config', '--json'],
  ['config', '--check'],
  ['phases'],
  ['phases', '--json'],
  ['tail', '-n', 'all', ...directory],
  ['verify', ...directory],
  ['verify', '--json', ...directory],
  ['load', '--list-scenarios'],
];

describe('a command whose output cannot be written exits with 1 and one line', () => {
  for (const command of COMMANDS) {
    it(`${command.slice(0, 2).join(' ')} on a full disk`, () => {
      const full = openSync('/dev/full', 'w');
      const { status, stderr } = spawnSync(process.execPath, [MAIN, ...command], {
        stdio: ['ignore', full, 'pipe'],
        encoding: 'utf8',
      });
      assert.equal(status, 1, stderr);
      assertOneLine(stderr);
      assert.match(stderr, /no space left/);
    });

    it(`${command.slice(0, 2).join(' ')} into a closed pipe`, async () => {
      const child = spawn(process.execPath, [MAIN, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout.destroy();
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      const code = await new Promise((resolve) => child.once('close', resolve));
      assert.equal(code, 1, stderr);
      assertOneLine(stderr);
      assert.match(stderr, /closed the pipe/);
    });
  }
});

describe('a start that cannot succeed ends with one line', () => {
  const assertRefused = async (args: string[], expected: RegExp, options = {}): Promise<void> => {
    const { code, signal, stdout, stderr } = await runCli(args, options);
    assert.equal(signal, null, 'it did not end by itself');
    assert.notEqual(code, 0);
    assertOneLine(stderr);
    assert.match(stderr, expected);
    assert.equal(stdout, '');
  };

  it('in a working directory that was deleted', async (t) => {
    const parent = temporaryDirectory(t);
    const gone = join(parent, 'gone');
    mkdirSync(gone);
    const child = spawn(
      'sh',
      ['-c', 'rmdir "$1" && exec "$2" "$3" serve --port 0', 'sh', gone, process.execPath, MAIN],
      {
        cwd: gone,
        stdio: ['ignore', 'ignore', 'pipe'],
        timeout: 180_000,
        killSignal: 'SIGKILL',
      },
    );
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
      child.once('close', (...exit) => resolve(exit));
    });
    assert.equal(signal, null);
    assert.equal(code, 1);
    assertOneLine(stderr);
  });

  it('below a directory in which nothing can be created', () =>
    assertRefused(['serve', '--port', '0', '--data-dir', '/proc/metricsstream/data'], /proc\/metricsstream/));

  it('with a data directory below a file, or in a circle of links', async (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'file'), '');
    symlinkSync(join(directory, 'b'), join(directory, 'a'));
    symlinkSync(join(directory, 'a'), join(directory, 'b'));
    for (const name of ['file/data', 'a', 'x'.repeat(300)]) {
      const dataDir = join(directory, name);
      await assertRefused(
        ['serve', '--port', '0', '--data-dir', dataDir],
        /cannot use .* as the data directory/,
      );
    }
  });

  it('with a device or an endless file where a small file is expected', async () => {
    for (const option of ['--config', '--tokens-file', '--tls-cert']) {
      const pair = option === '--tls-cert' ? ['--tls-key', '/dev/zero'] : [];
      await assertRefused(['serve', option, '/dev/zero', ...pair], new RegExp(`${option} /dev/zero: `));
    }
  });

  it('with a pipe that nobody writes to', async (t) => {
    const pipe = join(temporaryDirectory(t), 'pipe');
    assert.equal(spawnSync('mkfifo', [pipe]).status, 0);
    for (const option of ['--config', '--tokens-file']) await assertRefused(['serve', option, pipe], /pipe/);
  });

  it('with too few descriptors', async (t) => {
    for (const limit of [40, 100]) {
      const { status, stderr } = spawnSync(
        'sh',
        [
          '-c',
          `ulimit -n ${limit}; exec "$0" "$@"`,
          process.execPath,
          MAIN,
          'serve',
          '--port',
          '0',
          '--workers',
          '4',
        ],
        { cwd: temporaryDirectory(t), encoding: 'utf8', timeout: 180_000, killSignal: 'SIGKILL' },
      );
      assert.ok(status === 1 || status === 2, `${status}: ${stderr}`);
      assertOneLine(stderr);
      assert.match(stderr, /ulimit -n/);
    }
  });

  it('with too little virtual memory', async (t) => {
    const wrapper = ['sh', '-c', 'ulimit -v 8000000; exec "$0" "$@"'];
    const args = ['serve', '--port', '0', '--data-dir', temporaryDirectory(t)];
    const { code, stderr } = await runCli(args, { wrapper });
    assert.equal(code, 2, stderr);
    assertOneLine(stderr);
    assert.match(stderr, /ulimit -v unlimited/);
  });

  it('with too few threads', async (t) => {
    const wrapper = limitedProcesses(t, 16);
    if (wrapper === null) return t.skip('control groups of processes cannot be made here');
    const options = ['--port', '0', '--workers', '8', '--log-level', 'error'];
    const args = ['serve', ...options, '--data-dir', temporaryDirectory(t)];
    const { code, stderr } = await runCli(args, { wrapper });
    assert.equal(code, 1, stderr);
    assertOneLine(stderr);
    assert.match(stderr, /a thread cannot be created; raise the limit of processes/);
  });

  it('with a limit of file sizes below that of the files', async (t) => {
    const limited = ['sh', '-c', 'ulimit -f 100000; exec "$0" "$@"'];
    const dataDir = temporaryDirectory(t);
    const options = ['--port', '0', '--data-dir', dataDir];
    for (const command of [
      ['serve', ...options],
      ['config', '--check', ...options],
    ]) {
      const { code, stderr } = await runCli(command, { wrapper: limited });
      assert.equal(code, 2, stderr);
      assertOneLine(stderr);
      assert.match(stderr, /--segment-bytes is 268435456; raise it with ulimit -f/);
    }
    const small = await runCli(
      ['config', '--check', ...options, '--segment-bytes', '32m', '--wal-bytes', '48m'],
      {
        wrapper: limited,
      },
    );
    assert.equal(small.code, 0, small.stderr);
  });

  it('on a read-only file system', { skip: mountRefusal() ?? false }, async (t) => {
    const mount = await PrivateMount.open(t);
    await mount.run(`mount -t tmpfs -o ro tmpfs ${mount.inside}`);
    for (const path of [mount.directory, join(mount.directory, 'data')]) {
      await assertRefused(['serve', '--port', '0', '--data-dir', path], /data/);
    }
    await assertRefused(['serve', '--log-file', join(mount.directory, 'log')], /--log-file .*read-only/);
  });
});

describe('config --check', () => {
  it('refuses what serve refuses', async (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, 'x');
    const link = join(dirname(file), 'link');
    symlinkSync(join(dirname(file), 'away', 'data'), link);
    for (const args of [
      ['--data-dir', file],
      ['--data-dir', link],
      ['--log-file', link],
      ['--data-dir', join(file, 'below')],
      ['--log-file', temporaryDirectory(t)],
      ['--log-file', join(file, 'log')],
      ['--host', '192.0.2.1'],
      ['--host', 'no-such-host.invalid'],
      ['--tokens-file', file],
      ['--tls-cert', file, '--tls-key', file],
    ]) {
      for (const command of [
        ['config', '--check'],
        ['serve', '--port', '0'],
      ]) {
        const { code, stderr } = await runCli([...command, ...args]);
        assert.notEqual(code, 0, `${command.join(' ')} ${args.join(' ')}`);
        if (command[0] === 'config') assert.equal(code, 2, stderr);
        assert.ok(!stderr.includes('    at '), stderr);
      }
    }
  });

  it('accepts the configuration of a server that runs, and creates nothing', async (t) => {
    const args = ['--port', String(stored.port), ...directory];
    assert.equal((await runCli(['config', '--check', ...args])).code, 0);
    const missing = join(temporaryDirectory(t), 'a', 'b');
    assert.equal((await runCli(['config', '--check', '--data-dir', missing])).code, 0);
    assert.throws(() => rmSync(missing), /ENOENT/);
  });
});
