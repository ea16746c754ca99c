/**
 * Runs every command block and every client of README.md and docs/api.md against a real server.
 *
 * A block ```` ```sh serve --max-batch 1 ```` gets a server of its own with these options; `slow-disk` before `serve`
 * makes its syncs slow. Other blocks share one. An `http` block behind a command is the response it must print. A
 * block that tests must not run is `console`, behind a comment `<!-- not run: reason -->`.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { COUNTED_REASONS, UNAVAILABLE_REASONS } from '../../src/telemetry/unavailable.ts';
import { type Owner, suiteOwner } from '../support/clean-up.ts';
import { ROOT } from '../support/deploy-files.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { type ServerProcess, startServer, temporaryDirectory } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { hasProgram, requireTool } from '../support/tools.ts';
import { type Block, blocksOf } from './blocks.ts';
import { assertDocumented } from './documented-response.ts';

const DOCUMENTS = ['README.md', 'docs/api.md'];
const DOCUMENTED_ADDRESS = '127.0.0.1:8080';
const COMMAND_TIMEOUT_MS = 180_000;
/** A cold cache makes the Go compiler build its library first. */
const CLIENT_TIMEOUT_MS = 300_000;
const SLOW_SYNC_MS = 2_000;
const SHOWN_ONLY = new Set(['http', 'text']);
const TOKEN = 'web 3c6ffa0cf2a2b6a3ea1d24dbe6e2b9b8d1a3d5a0f0b1c2d3e4f5061728394a5b\n';

interface Client {
  readonly file: string;
  readonly command: readonly string[];
  readonly skip: string | false;
}

/** Debian's Python has Debian's packages; another one earlier on the PATH has not. */
const python = (): Client => ({
  file: 'client.py',
  command: ['/usr/bin/python3'],
  skip: requireTool('python3'),
});

const CLIENTS: Readonly<Record<string, () => Client>> = {
  js: () => ({ file: 'client.mjs', command: [process.execPath], skip: false }),
  python,
  go: () => ({
    file: 'client.go',
    command: ['go', 'run'],
    skip: hasProgram('go') ? false : 'go is not installed (Debian package golang-go)',
  }),
};

/** A directory that looks like the project, with the data directory of a server in `data`. */
function projectCopy(owner: Owner): string {
  const directory = temporaryDirectory(owner, 'metricsstream-docs-');
  for (const name of ['dist', 'node_modules', 'package.json', 'scripts']) {
    symlinkSync(join(ROOT, name), join(directory, name));
  }
  mkdirSync(join(directory, 'data'));
  writeFileSync(join(directory, 'tokens'), TOKEN, { mode: 0o600 });
  return directory;
}

interface Result {
  readonly stdout: string;
  readonly output: string;
}

/** Runs a command to its end. @throws when it fails or takes longer than `timeoutMs` */
function run(command: readonly string[], cwd: string, timeoutMs: number): Promise<Result> {
  const [file = '', ...args] = command;
  const path = [dirname(process.execPath), process.env.PATH ?? ''].join(delimiter);
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, PATH: path },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      const output = `${stdout}\n${stderr}`;
      if (code === 0) resolve({ stdout, output });
      else reject(new Error(`exit ${code ?? signal} of\n${command.join(' ')}\n${output}`));
    });
  });
}

/** Metrics that a block sends to be looked up in the files: every name that begins with `demo.`. */
const demoNames = (text: string): string[] =>
  [...text.matchAll(/demo\.[a-z.]+/g)].map(([name]) => name.replace(/\.$/, ''));

function assertStored(server: ServerProcess, text: string): void {
  const stored = countNames(readStored(server.dataDir));
  for (const name of demoNames(text)) assert.ok(stored.has(name), `${name} was not stored`);
}

async function ownServer(t: TestContext, words: readonly string[], dataDir: string, cwd: string) {
  const slowDisk = words[0] === 'slow-disk';
  const [serve, ...args] = slowDisk ? words.slice(1) : words;
  assert.equal(serve, 'serve', `unknown words behind the fence: ${words.join(' ')}`);
  const faults = new FaultSwitch(t);
  const server = await startServer(t, {
    args: args.map((arg) => (arg === 'tokens' ? join(cwd, arg) : arg)),
    env: faults.env,
    dataDir,
    awaitReady: false,
  });
  if (slowDisk) faults.set({ syncDelayMs: SLOW_SYNC_MS });
  return server;
}

for (const document of DOCUMENTS) {
  describe(document, { skip: requireTool('curl') }, () => {
    const blocks = blocksOf(join(ROOT, document));
    let shared: { cwd: string; server: ServerProcess };
    const owner = suiteOwner();

    before(async () => {
      const cwd = projectCopy(owner);
      shared = { cwd, server: await startServer(owner, { dataDir: join(cwd, 'data') }) };
    });

    async function place(t: TestContext, words: readonly string[]) {
      if (words.length === 0) return shared;
      const cwd = projectCopy(t);
      return { cwd, server: await ownServer(t, words, join(cwd, 'data'), cwd) };
    }

    async function runCommands(t: TestContext, { text, words }: Block, response: Block | undefined) {
      const { cwd, server } = await place(t, words);
      const script = text.replaceAll(DOCUMENTED_ADDRESS, `127.0.0.1:${server.port}`);
      const { stdout } = await run(['bash', '-euo', 'pipefail', '-c', script], cwd, COMMAND_TIMEOUT_MS);
      if (response !== undefined) assertDocumented(stdout, response.text);
      assertStored(server, text);
    }

    async function runClient(t: TestContext, { file, command }: Client, { text }: Block) {
      const path = join(temporaryDirectory(t), file);
      writeFileSync(path, text.replaceAll(DOCUMENTED_ADDRESS, `127.0.0.1:${shared.server.port}`));
      const { output } = await run([...command, path], shared.cwd, CLIENT_TIMEOUT_MS);
      assert.match(output, /accepted['"]?: ?1/);
      assert.notEqual(demoNames(text).length, 0, 'the client sends no metric whose name begins with demo.');
      assertStored(shared.server, text);
    }

    for (const [index, block] of blocks.entries()) {
      const { language, line } = block;
      const name = `line ${line}: ${language} ${block.text.split('\n', 1)[0]}`;
      if (language === 'sh') {
        const next = blocks[index + 1];
        const response = next?.language === 'http' ? next : undefined;
        it(name, (t) => runCommands(t, block, response));
      } else if (language === 'console') {
        it(`${name} says why it is not run`, () => {
          assert.match(block.before, /^<!-- not run: .+ -->$/, `line ${line}`);
        });
      } else if (language in CLIENTS) {
        const client = CLIENTS[language]!();
        it(name, { skip: client.skip }, (t) => runClient(t, client, block));
      } else {
        it(`${name} is only shown`, () => assert.ok(SHOWN_ONLY.has(language), `${language}, line ${line}`));
      }
    }
  });
}

describe('docs/api.md', () => {
  it('lists every reason of a 503, and no other', () => {
    const text = readFileSync(join(ROOT, 'docs/api.md'), 'utf8');
    for (const reason of UNAVAILABLE_REASONS) assert.ok(text.includes(`\`${reason}\``), reason);
    const [, section = ''] = /### 503 Service Unavailable\n([\s\S]*?)\n###? /.exec(text) ?? [];
    const rows = [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason);
    assert.deepEqual(rows.toSorted(), COUNTED_REASONS.toSorted());
  });
});
