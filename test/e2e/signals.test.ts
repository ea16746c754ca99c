/** No signal opens a debugger, and none ends the server without draining, from its first statement on. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { onEnd } from '../support/clean-up.ts';
import { post } from '../support/raw-http.ts';
import { PATIENT_ENVIRONMENT, startServer, temporaryDirectory } from '../support/server-process.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const CLEAN_EXIT = { code: 0, signal: null };
const LISTEN = '0A';

/** TCP ports on which a process listens. */
function listeningPorts(pid: number): number[] {
  const own = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      own.add(readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/^socket:\[(\d+)\]$/, '$1'));
    } catch {
      // Closed meanwhile.
    }
  }
  const rows = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`/proc/${pid}/net/${name}`, 'utf8').split('\n'),
  );
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN && own.has(fields[9] ?? ''))
    .map((fields) => Number.parseInt(fields[1]!.split(':')[1]!, 16));
}

/** Signals that the process catches; see SigCgt in proc_pid_status(5). */
function isCaught(pid: number, signal: NodeJS.Signals): boolean {
  const [, mask = '0'] = /^SigCgt:\t([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
}

/** A server that has just installed its listeners and loaded nothing else. */
async function startEarly(t: TestContext) {
  const args = [MAIN, 'serve', '--port', '0', '--workers', '1', '--data-dir', temporaryDirectory(t)];
  const env = { ...process.env, ...PATIENT_ENVIRONMENT };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exited = new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  onEnd(t, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  while (!isCaught(child.pid!, 'SIGUSR2')) await new Promise((resolve) => setImmediate(resolve));
  return { child, exited, output: () => output };
}

describe('a running server', () => {
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGPIPE'] as const) {
    it(`goes on after ${signal}, without a debugger`, async (t) => {
      const server = await startServer(t, { args: ['--workers', '1'] });
      for (let k = 0; k < 20; k++) server.kill(signal);
      assertAccepted(await post(server.port, namesBody(uniqueName('signal'))), 1);
      assert.deepEqual(listeningPorts(server.pid), [server.port]);
      assert.doesNotMatch(server.output(), /Debugger/);
      assert.deepEqual(await server.stop(), CLEAN_EXIT);
    });
  }

  for (const signal of [
    ...(['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU', 'SIGIO', 'SIGPWR'] as const),
    'SIGSTKFLT' as const,
  ]) {
    it(`drains on ${signal}`, async (t) => {
      const server = await startServer(t, { args: ['--workers', '1'] });
      server.kill(signal);
      assert.deepEqual(await server.exited, CLEAN_EXIT);
      assert.ok(server.logs.some(({ msg }) => /draining/.test(String(msg))));
    });
  }
});

describe('a server that is starting', () => {
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) {
    it(`goes on after ${signal}`, async (t) => {
      const { child, output } = await startEarly(t);
      for (let k = 0; k < 5; k++) child.kill(signal);
      await eventually('it listens', () => /"listening"/.test(output()));
      const [, port = ''] = /"port":(\d+)/.exec(output()) ?? [];
      assertAccepted(await post(Number(port), namesBody(uniqueName('early'))), 1);
      assert.deepEqual(listeningPorts(child.pid!), [Number(port)]);
    });
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
    it(`ends with 0 on ${signal}`, async (t) => {
      const { child, exited } = await startEarly(t);
      child.kill(signal);
      assert.deepEqual(await exited, CLEAN_EXIT);
    });
  }

  it('leaves no debugger open that a SIGUSR1 requested before its first statement', async (t) => {
    const args = [MAIN, 'serve', '--port', '0', '--workers', '1', '--data-dir', temporaryDirectory(t)];
    // An inspector that is asked for within Node's own start; the flag only moves its port from the default.
    const child = spawn(process.execPath, ['--inspect-port=0', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onEnd(t, () => child.kill('SIGKILL'));
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    // Node catches SIGUSR1 itself, before it runs the first module; the server catches SIGUSR2 with it.
    while (child.exitCode === null && !isCaught(child.pid!, 'SIGUSR1')) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    child.kill('SIGUSR1');
    await eventually('it listens', () => /"listening"/.test(output));
    const [, port = ''] = /"port":(\d+)/.exec(output) ?? [];
    await eventually('nothing else listens', () => listeningPorts(child.pid!).join() === port);
  });
});
