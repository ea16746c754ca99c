import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { freePort } from '../../load-test/free-port.ts';
import { OPTION_KEYS, specOf } from '../../src/config/options.ts';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { post } from '../support/raw-http.ts';
import { runCli, startCli, startServer, temporaryDirectory, verify } from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';

/** The line of the `config` listing for an option. */
function configLine(stdout: string, flag: string): string {
  const key = flag.replace(/^--/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const lines = stdout.split('\n').filter((line) => line.includes(flag) || line.includes(key));
  const line = lines.find((candidate) =>
    candidate.split(/[\s":,]+/).some((word) => word === flag || word === key),
  );
  assert.ok(line !== undefined, `${flag} is not listed:\n${stdout}`);
  return line;
}

describe('help', () => {
  it('names the subcommands', async () => {
    const { code, stdout } = await runCli(['--help']);
    assert.equal(code, 0);
    for (const name of ['serve', 'tail', 'verify', 'load', 'config', 'phases'])
      assert.match(stdout, new RegExp(`\\b${name}\\b`));
  });

  it('of serve names every option that scripts rely on', async () => {
    const { code, stdout } = await runCli(['serve', '--help']);
    assert.equal(code, 0);
    for (const flag of [
      ...['--port', '--host', '--data-dir', '--workers', '--phase', '--ack', '--rate-limit', '--rate-burst'],
      ...[
        '--segment-bytes',
        '--min-free-bytes',
        '--max-body-bytes',
        '--request-timeout-ms',
        '--metric-rate-limit',
      ],
      ...['--client-id', '--config', '--max-batch', '--drain-timeout-ms'],
    ]) {
      assert.ok(stdout.includes(flag), flag);
    }
  });

  for (const command of ['tail', 'verify', 'config', 'phases']) {
    it(`of ${command} describes it`, async () => {
      const { code, stdout } = await runCli([command, '--help']);
      assert.equal(code, 0);
      assert.match(stdout, /usage/i);
    });
  }

  it('is the answer to an unknown command, which fails', async () => {
    const { code, stderr } = await runCli(['serv']);
    assert.notEqual(code, 0);
    assert.match(stderr, /serv/);
  });
});

describe('configuration', () => {
  it('is listed in docs/operating.md, option by option as --help tells it', () => {
    const text = readFileSync('docs/operating.md', 'utf8');
    for (const { flag, variable, help, allowed, fallback, derived } of OPTION_KEYS.map(specOf)) {
      const row = `| \`${flag}\` | \`${variable}\` | ${derived ?? fallback} | ${allowed} | ${help} |`;
      assert.ok(text.includes(row), `docs/operating.md has no line ${row}`);
    }
  });

  it('prefers a flag to the environment, the file and the default, and lists the source', async (t) => {
    const file = join(temporaryDirectory(t), 'config.json');
    writeFileSync(file, JSON.stringify({ rateLimit: 1111, maxBatch: 2222, queueTasks: 3333 }));
    const { code, stdout, stderr } = await runCli(['config', '--config', file, '--rate-limit', '4444'], {
      env: { METRICSSTREAM_RATE_LIMIT: '5555', METRICSSTREAM_MAX_BATCH: '6666' },
    });
    assert.equal(code, 0, stderr);
    assert.match(configLine(stdout, '--rate-limit'), /\b4444\b.*\bflag\b/);
    assert.match(configLine(stdout, '--max-batch'), /\b6666\b.*\benvironment\b/);
    assert.match(configLine(stdout, '--queue-tasks'), /\b3333\b.*\bfile\b/);
    assert.match(configLine(stdout, '--segment-bytes'), /\bdefault\b/);
  });

  it('finds the file by METRICSSTREAM_CONFIG', async (t) => {
    const file = join(temporaryDirectory(t), 'config.json');
    writeFileSync(file, JSON.stringify({ maxBatch: 77 }));
    const { stdout } = await runCli(['config'], { env: { METRICSSTREAM_CONFIG: file } });
    assert.match(configLine(stdout, '--max-batch'), /\b77\b.*\bfile\b/);
  });

  it('shows the back-end of the write-ahead log that a start would choose, and why', async (t) => {
    const dataDir = join(temporaryDirectory(t), 'not', 'there');
    const args = ['config', '--data-dir', dataDir, '--wal', 'pool'];
    assert.match((await runCli(args)).stdout, /^--wal +pool.* flag /m);
    const written = await runCli([...args, '--ack', 'written']);
    assert.match(written.stdout, /^--wal +pool: off \(--ack written waits for no sync\)/m);
    const { wal } = JSON.parse((await runCli([...args, '--json'])).stdout);
    assert.equal(wal.value, 'pool');
    assert.equal(wal.source, 'flag');
    assert.ok(['pool', 'off'].includes(wal.backend), 'off where there is no direct I/O');
    assert.equal(existsSync(dirname(dataDir)), false, 'creates nothing');
  });

  const refusals: [string, string[], Record<string, string>, RegExp[]][] = [
    ['an unknown option', ['serve', '--rat-limit', '5'], {}, [/--rat-limit/]],
    ['an unknown variable', ['serve'], { METRICSSTREAM_RAT_LIMIT: '5' }, [/METRICSSTREAM_RAT_LIMIT/]],
    [
      'a value that is not allowed',
      ['serve', '--ack', 'maybe'],
      {},
      [/--ack/, /received/, /written/, /synced/],
    ],
    ['a number out of bounds', ['serve', '--port', '70000'], {}, [/--port/, /65535/]],
    ['text for a number', ['serve', '--workers', 'two'], {}, [/--workers/, /two/]],
    ['a bad variable', ['serve'], { METRICSSTREAM_WORKERS: '0' }, [/METRICSSTREAM_WORKERS/, /1 to/]],
    [
      'a contradiction',
      ['serve', '--rate-limit', '0', '--rate-burst', '5'],
      {},
      [/--rate-burst/, /--rate-limit/],
    ],
    ['a phase that does not exist', ['serve', '--phase', '99'], {}, [/--phase/]],
    [
      'a client id that does not exist',
      ['serve', '--client-id', 'cookie'],
      {},
      [/--client-id/, /address/, /header:/],
    ],
    ['a missing configuration file', ['serve', '--config', '/nonexistent.json'], {}, [/nonexistent\.json/]],
  ];
  for (const [what, args, env, wanted] of refusals) {
    it(`refuses ${what} by name, before it starts anything`, async (t) => {
      const cwd = temporaryDirectory(t);
      const { code, stdout, stderr } = await runCli(args, { env, cwd });
      assert.notEqual(code, 0);
      assert.notEqual(code, null);
      for (const pattern of wanted) assert.match(`${stdout}${stderr}`, pattern);
      assert.ok(!`${stdout}${stderr}`.includes('    at '), `a stack trace:\n${stderr}`);
    });
  }

  it('has defaults that fit however many CPUs there are', async () => {
    for (const workers of ['1', '8', '32']) {
      // Smaller bodies, so that the memory plan fits on any machine.
      const bodies = ['--max-body-bytes', '64k', '--max-batch', '1000'];
      const { code, stderr } = await runCli(['config', '--check', '--workers', workers, ...bodies]);
      assert.equal(code, 0, stderr);
    }
  });

  it('refuses an unknown member of the file', async (t) => {
    const file = join(temporaryDirectory(t), 'config.json');
    writeFileSync(file, JSON.stringify({ 'rate-limit': 5 }));
    const { code, stderr, stdout } = await runCli(['config', '--config', file]);
    assert.notEqual(code, 0);
    assert.match(`${stdout}${stderr}`, /rate-limit/);
  });

  it('refuses the quotes that an env file keeps, around paths too', async () => {
    for (const value of ['"/data"', "'/data'", '"8080"']) {
      for (const variable of ['METRICSSTREAM_DATA_DIR', 'METRICSSTREAM_PORT']) {
        const { code, stderr } = await runCli(['config', '--check'], { env: { [variable]: value } });
        assert.equal(code, 2, stderr);
        assert.match(stderr, new RegExp(`${variable}: .* has quotes around the value`));
      }
    }
  });

  it('accepts a file with a byte order mark and Windows line ends', async (t) => {
    const file = join(temporaryDirectory(t), 'config.json');
    writeFileSync(file, '\uFEFF{\r\n  "port": 9123\r\n}\r\n');
    const { code, stdout, stderr } = await runCli(['config', '--config', file]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /--port +9123 +file/);
  });

  it('takes effect from the environment alone', async (t) => {
    const server = await startServer(t, {
      env: { METRICSSTREAM_WORKERS: '1', METRICSSTREAM_ACK: 'written', METRICSSTREAM_MAX_BATCH: '2' },
    });
    assert.equal(server.listening.workers, 1);
    assert.equal(server.listening.ack, 'written');
    assert.equal((await post(server.port, namesBody('a', 'b', 'c'))).status, 413);
  });
});

describe('start-up', () => {
  it('prints one line with address, phase and settings', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const line = server.listening;
    assert.equal(line.address, `127.0.0.1:${server.port}`);
    for (const field of ['port', 'uws', 'workers', 'ack', 'pid']) assert.ok(line[field] !== undefined, field);
    assert.equal(server.logs.filter((entry) => entry.msg === 'listening').length, 1);
    for (const text of server.output().trim().split('\n')) JSON.parse(text);
  });

  it('prints a curl line that works as it is', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const { msg = '' } = await server.logged((line) => String(line.msg).startsWith('try: curl '));
    assert.ok(msg.endsWith(`http://127.0.0.1:${server.port}/metrics`), msg);
    const body = /'(\{.*\})'/.exec(msg)?.[1] ?? '';
    assertAccepted(await post(server.port, body), 1);
  });

  it('warns of an address that other machines can reach', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1', '--host', '0.0.0.0'] });
    assert.ok(server.logs.some((entry) => entry.level === 'warn' && String(entry.msg).includes('--host')));
  });

  it('warns of more workers than CPUs', async (t) => {
    const server = await startServer(t, {
      args: ['--workers', String(availableParallelism() + 1)],
    });
    assert.ok(server.logs.some((entry) => entry.level === 'warn' && String(entry.msg).includes('--workers')));
  });

  it('lets only one of two servers that start at once have a port', async (t) => {
    const port = await freePort();
    const start = () => startServer(t, { args: ['--workers', '1', '--port', String(port)] });
    const [first, second] = await Promise.allSettled([start(), start()]);
    const failures = [first, second].filter((result) => result.status === 'rejected');
    assert.equal(failures.length, 1);
    assert.match(String(failures[0]!.reason), /in use/);
  });

  it('refuses a port that is taken by name', async (t) => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    t.after(() => other.close());
    const { port } = other.address() as { port: number };
    const { code, stdout, stderr } = await runCli([
      'serve',
      '--port',
      String(port),
      '--data-dir',
      temporaryDirectory(t),
    ]);
    assert.notEqual(code, 0);
    assert.match(`${stdout}${stderr}`, new RegExp(`\\b${port}\\b`));
    assert.match(`${stdout}${stderr}`, /in use/);
  });

  it('refuses the port of another server, which would share it silently', async (t) => {
    const first = await startServer(t, { args: ['--workers', '1'] });
    const { code, stdout, stderr } = await runCli([
      ...['serve', '--port', String(first.port), '--data-dir', temporaryDirectory(t)],
    ]);
    assert.notEqual(code, 0);
    assert.match(`${stdout}${stderr}`, new RegExp(`\\b${first.port}\\b`));
  });

  it('writes nothing to the data directory when the port is in use', async (t) => {
    const first = await startServer(t, { args: ['--workers', '1'] });
    const dataDir = join(temporaryDirectory(t), 'untouched');
    const { code } = await runCli(['serve', '--port', String(first.port), '--data-dir', dataDir]);
    assert.notEqual(code, 0);
    assert.equal(existsSync(dataDir), false);
  });

  it('refuses a data directory that another server owns, and says which process', async (t) => {
    const first = await startServer(t, { args: ['--workers', '1'] });
    assertAccepted(await post(first.port, namesBody(uniqueName('owner'))), 1);
    const { code, stdout, stderr } = await runCli(['serve', '--port', '0', '--data-dir', first.dataDir]);
    assert.notEqual(code, 0);
    assert.ok(`${stdout}${stderr}`.includes(first.dataDir));
    assert.ok(`${stdout}${stderr}`.includes(String(first.pid)));
    assertAccepted(await post(first.port, namesBody(uniqueName('owner'))), 1);
  });

  it('refuses a data directory that is a file', async (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, '');
    const { code, stdout, stderr } = await runCli(['serve', '--port', '0', '--data-dir', file]);
    assert.notEqual(code, 0);
    assert.ok(`${stdout}${stderr}`.includes(file));
  });
});

describe('phases', () => {
  it('lists the table', async () => {
    const { code, stdout } = await runCli(['phases']);
    assert.equal(code, 0);
    assert.match(stdout, /single-pass/);
  });
});

const server = await startServer({ after }, { args: ['--workers', '1', '--segment-bytes', '64k'] });
const names = Array.from({ length: 3000 }, (_, k) => `tail.${k}`);
for (let at = 0; at < names.length; at += 100) {
  assertAccepted(await post(server.port, namesBody(...names.slice(at, at + 100))), 100);
}
const namesIn = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { name: string }).name);

describe('tail and verify', () => {
  it('tail prints what is stored, oldest first, over all files, while the server runs', async () => {
    const { code, stdout, stderr } = await runCli(['tail', '-n', 'all', '--data-dir', server.dataDir]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(namesIn(stdout), names);
    const stored = readStored(server.dataDir).map((stored) => stored.name);
    assert.deepEqual(stored, names);
  });

  it('tail prints the last ten lines unless told otherwise', async () => {
    const { stdout } = await runCli(['tail', '--data-dir', server.dataDir]);
    assert.deepEqual(namesIn(stdout), names.slice(-10));
  });

  it('verify passes on live data', async () => {
    const { code, stdout, stderr } = await verify(server.dataDir);
    assert.equal(code, 0, `${stdout}${stderr}`);
    assert.match(stdout, /3[,.]?000/);
  });

  it('tail -f follows across rotation', async (t) => {
    const follower = startCli(t, ['tail', '-f', '--data-dir', server.dataDir]);
    const more = Array.from({ length: 1000 }, (_, k) => `follow.${k}`);
    assertAccepted(await post(server.port, namesBody('follow.start')), 1);
    await follower.until((lines) => lines.some((line) => line.includes('follow.start')));
    for (let at = 0; at < more.length; at += 100) {
      assertAccepted(await post(server.port, namesBody(...more.slice(at, at + 100))), 100);
    }
    await follower.until((lines) => lines.some((line) => line.includes('"follow.999"')));
    const followed = namesIn(follower.lines.join('\n')).filter((name) => /^follow\.\d/.test(name));
    assert.deepEqual(followed, more);
    follower.kill('SIGINT');
    const { code, signal } = await follower.exited;
    assert.ok(code === 0 || code === 130 || signal === 'SIGINT', `code ${code}, signal ${signal}`);
  });

  it('both fail on a directory that is not there', async () => {
    for (const command of ['tail', 'verify']) {
      const { code, stderr, stdout } = await runCli([command, '--data-dir', join(server.dataDir, 'none')]);
      assert.notEqual(code, 0);
      assert.match(`${stdout}${stderr}`, /none/);
    }
  });
});
