import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LoadResult } from '../../load-test/plan.ts';
import type { ScenarioResult } from '../../load-test/scenarios/scenario.ts';
import { memoryDirectory, startServer, temporaryDirectory } from '../support/server-process.ts';
import { accepted, answer, startScriptedServer } from './scripted-server.ts';

const MAIN = fileURLToPath(new URL('../../load-test/main.js', import.meta.url));
const TIMEOUT_MS = 180_000;
/** A disk that stalls may keep a request waiting. */
const PATIENT = ['--timeout', '150s'];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  /** Is given what was written to stderr so far, and may send a signal. */
  readonly onError?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  readonly env?: Readonly<Record<string, string>>;
}

function runLoadCommand(
  args: readonly (string | number)[],
  { onError = () => {}, env = {} }: RunOptions = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args.map(String)], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      onError(stderr, (signal) => child.kill(signal));
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

describe('load', { concurrency: 3 }, () => {
  it('accepts the four classic arguments, and reports in every form', async (context) => {
    const { port, dataDir } = await startServer(context, { args: ['--workers', '1'] });
    const directory = temporaryDirectory(context, 'load-report-');
    const page = join(directory, 'deep', 'run.html');
    const file = join(directory, 'result.json');
    const outputs = ['--data-dir', dataDir, '--report', page, '--json', file, ...PATIENT];
    const { code, stdout, stderr } = await runLoadCommand([port, 4, 25, 5, ...outputs]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /API \(due → 2xx answer\) +100 /);
    assert.match(stdout, /accepted = stored: ok: 100 accepted, 100 stored \(read from the files/);
    const result = JSON.parse(readFileSync(file, 'utf8')) as LoadResult;
    assert.equal(result.sent, 100);
    assert.deepEqual(result.outcomes, { '200': 100 });
    assert.equal(result.check.kind, 'files');
    assert.equal(readFileSync(join(directory, 'deep', 'run.json'), 'utf8'), readFileSync(file, 'utf8'));
    const html = readFileSync(page, 'utf8');
    assert.doesNotMatch(html, /(?:src|href)\s*=|url\(|@import|fetch\(|XMLHttpRequest/);
    assert.match(html, new RegExp(result.runId));
  });

  it('prints JSON in place of the table', async (context) => {
    const { port } = await startServer(context, { args: ['--workers', '1'] });
    const { code, stdout } = await runLoadCommand([
      port,
      '--rate',
      100,
      '--duration',
      '500ms',
      '--json',
      ...PATIENT,
    ]);
    assert.equal(code, 0);
    const result = JSON.parse(stdout) as LoadResult;
    assert.equal(result.intended, 50);
    assert.equal(result.check.kind, 'counters');
    assert.equal(result.check.ok, true);
  });

  it('fails when an accepted metric is not in the files', async (context) => {
    const { port } = await startServer(context, { args: ['--workers', '1'] });
    const elsewhere = temporaryDirectory(context);
    // The check waits for missing metrics, also with a scripted server.
    const { code, stdout } = await runLoadCommand([port, 1, 2, 0, '--data-dir', elsewhere, ...PATIENT]);
    assert.equal(code, 1);
    assert.match(stdout, /FAILED: 2 accepted, 0 stored \(2 accepted metrics are not in the files\)/);
  });

  it('fails when nothing succeeds', async (context) => {
    const server = await startScriptedServer(context, (socket) => socket.write(answer(500)));
    const { code, stdout } = await runLoadCommand([server.port, 1, 3, 0]);
    assert.equal(code, 1);
    assert.match(stdout, /500 \(refused\) +3 +100\.0%/);
  });

  it('reports that nothing was checked if neither files nor counters are available', async (context) => {
    const server = await startScriptedServer(context, (socket) => socket.write(accepted(1)));
    const { code, stdout } = await runLoadCommand([server.port, 1, 3, 0]);
    assert.equal(code, 0);
    assert.match(stdout, /accepted = stored: not checked/);
  });

  it('ends at the first Ctrl-C with a table of its measurements', async (context) => {
    const { port } = await startServer(context, { args: ['--workers', '1'] });
    let killed = false;
    const { code, stdout } = await runLoadCommand([port, 2, 100_000, 10, ...PATIENT], {
      onError: (text, kill) => {
        if (killed || !/ sent /.test(text)) return;
        killed = true;
        kill('SIGINT');
      },
    });
    assert.equal(code, 130, stdout);
    assert.match(stdout, /ended early/);
    assert.match(stdout, /accepted = stored: ok/);
  });

  it('reports that nothing listens', async (context) => {
    const server = await startScriptedServer(context, () => {});
    server.close();
    const { code, stderr } = await runLoadCommand([server.port]);
    assert.equal(code, 1);
    assert.match(stderr, /nothing listens on 127\.0\.0\.1 port \d+/);
  });

  for (const [args, message] of [
    [['--rate', '10', '--requests', '5'], /leave out requests and interval/],
    [['8080', '--port', '8081'], /port is given twice/],
    [['--clients', 'many'], /Not a number/],
    [['--duration', '5 fortnights'], /Give a time such as/],
    [['--clients', '0'], /clients 0: give a whole number/],
    [['--no-such-option'], /unknown option/],
    [['--scenario', 'nonsense'], /no scenario nonsense; there are classic/],
    [['--scenario', 'soak', '--clients', '5'], /does not go with --scenario/],
    [['--phase', '6'], /go with --scenario/],
  ] as const) {
    it(`refuses ${args.join(' ')}`, async () => {
      const { code, stderr } = await runLoadCommand(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    });
  }
});

describe('a scenario', { concurrency: 3 }, () => {
  it('is listed with its expectations', async () => {
    const { code, stdout } = await runLoadCommand(['--list-scenarios']);
    assert.equal(code, 0);
    for (const name of [
      'classic',
      'clients',
      'saturation',
      'overload',
      'abuse',
      'slow-disk',
      'breaker',
      'soak',
    ]) {
      assert.match(stdout, new RegExp(`^${name}\\n {4}.*\\n {4}expects: `, 'm'));
    }
  });

  it('starts its own server and reports which expectations held', async (context) => {
    const directory = temporaryDirectory(context);
    const file = join(directory, 'slow.json');
    const page = join(directory, 'slow.html');
    const options = ['--duration', '1s', '--json', file, '--report', page];
    // The scenario's server has ordinary time limits, and only the injected delay may count.
    const env = { TMPDIR: memoryDirectory(context) };
    const { code, stdout, stderr } = await runLoadCommand(['--scenario', 'slow-disk', ...options], { env });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /All expectations hold/);
    const result = JSON.parse(readFileSync(file, 'utf8')) as ScenarioResult;
    assert.equal(result.ok, true);
    assert.ok(result.expectations.length >= 5);
    assert.match(readFileSync(page, 'utf8'), /All expectations hold/);
  });

  it('fails when an expectation does not hold', async (context) => {
    const server = await startScriptedServer(context, (socket) => socket.write(answer(500)));
    const { code, stdout } = await runLoadCommand(['--scenario', 'soak', '--port', server.port, '-d', '1s']);
    assert.equal(code, 1);
    assert.match(stdout, /DOES NOT HOLD +every request gets an answer: 2xx, 429 or 503/);
  });

  it('that this server cannot serve fails with the reason', async (context) => {
    const { code, stderr } = await runLoadCommand(['--scenario', 'abuse', '--port', 9]);
    assert.equal(code, 1);
    assert.match(stderr, /this scenario needs a server of its own/);
    const { port } = await startServer(context, { args: ['--workers', '1'] });
    const external = await runLoadCommand(['--scenario', 'soak', '--port', port, '--phase', '6']);
    assert.equal(external.code, 2);
    assert.match(external.stderr, /--phase is for a server that the scenario starts itself/);
  });
});
