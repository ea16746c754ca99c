/** Runs the command blocks of LEARNING_PATH.md and docs/phases/ in smoke form, and checks the commands in their tables. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { freePort } from '../../load-test/free-port.ts';
import { ROOT } from '../support/deploy-files.ts';
import { PATIENT_ENVIRONMENT, temporaryDirectory } from '../support/server-process.ts';
import { hasProgram } from '../support/tools.ts';
import { type Block, blocksOf } from './blocks.ts';
import { isCheckedElsewhere, smokeForm } from './smoke-form.ts';

const DOCUMENTS = [
  'LEARNING_PATH.md',
  ...readdirSync(join(ROOT, 'docs/phases')).map((name) => `docs/phases/${name}`),
];
const TIMEOUT_MS = 360_000;
/** Programs that a learner installs for single blocks. */
const PROGRAMS = ['perf', 'strace', 'wrk'];
/** `test/docs/threads.test.ts` runs these. */
const OTHER_TEST = /^node docs\/threads\//;
const STORES = /\bserve\b|\bload --(?!.*--(scenario|list-scenarios|help))/;

function missingFor({ text }: Block): string | false {
  const missing = PROGRAMS.find((name) => new RegExp(`^${name}\\b`, 'm').test(text) && !hasProgram(name));
  return missing === undefined ? false : `${missing} is not installed`;
}

/** A directory that looks like the project to these commands, with place for what they write. */
function projectCopy(t: TestContext): string {
  const directory = temporaryDirectory(t, 'metricsstream-learning-');
  for (const name of ['dist', 'node_modules', 'package.json', 'scripts']) {
    symlinkSync(join(ROOT, name), join(directory, name));
  }
  mkdirSync(join(directory, '.artifacts'));
  return directory;
}

/** Runs a block in a process group of its own, which ends with it. A load without a server gets that of `earlier`. */
async function runBlock(t: TestContext, block: string, earlier: readonly Block[]): Promise<void> {
  const server = earlier.findLast(({ text }) => text.includes(' serve '))?.text;
  const text = block.includes('npm run load') && !block.includes(' serve ') ? `${server}\n${block}` : block;
  const port = await freePort();
  const ready = `ready() { until curl -sf -o /dev/null http://127.0.0.1:${port}/ready; do sleep 0.1; done; }`;
  const script = `set -e\n${ready}\n${smokeForm(text, port)}\n`;
  const env = { ...process.env, ...PATIENT_ENVIRONMENT };
  const child = spawn('bash', ['-c', script], { cwd: projectCopy(t), env, detached: true });
  const endGroup = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  t.after(endGroup);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  }
  const timer = setTimeout(endGroup, TIMEOUT_MS);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearTimeout(timer);
  endGroup();
  assert.equal(code, 0, `${script}\n${output}`);
  assert.doesNotMatch(output, /command not found|unknown option|No such file|Cannot find module/, output);
}

for (const document of DOCUMENTS) {
  describe(document, () => {
    const blocks = blocksOf(join(ROOT, document));
    for (const [index, block] of blocks.entries()) {
      const { language, line, text, before } = block;
      const name = `line ${line}: ${text.split('\n', 1)[0]}`;
      if (language === 'console') {
        it(`${name} says why it is not run`, () => assert.match(before, /^<!-- not run: .+ -->$/));
      } else if (language === 'sh' && !OTHER_TEST.test(text)) {
        it(name, { skip: missingFor(block) }, (t) => runBlock(t, text, blocks.slice(0, index)));
      }
    }
  });
}

describe('the tables of LEARNING_PATH.md', () => {
  const page = readFileSync(join(ROOT, 'LEARNING_PATH.md'), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| (run|change|measure) \|/.test(line));
  const commands = new Set(
    rows.flatMap((row) => [...row.matchAll(/`((?:node|npm) [^`]+)`/g)].map(([, command = '']) => command)),
  );

  for (const command of commands) {
    it(command, () => {
      if (STORES.test(command)) assert.match(command, /--data-dir /, 'looks at another directory');
      if (command.includes(' serve ')) {
        assert.match(command, /--rate-limit /, 'most answers would be 429');
        const flags = command.split(' ').slice(3);
        const { status, stderr } = spawnSync(
          process.execPath,
          [join(ROOT, 'dist/src/main.js'), 'config', '--check', ...flags],
          {
            cwd: ROOT,
            encoding: 'utf8',
          },
        );
        assert.equal(status, 0, stderr);
      } else if (command.includes('--scenario')) {
        const scenario = /--scenario ([\w-]+)/.exec(command)![1]!;
        const listed = spawnSync(process.execPath, ['dist/load-test/main.js', '--list-scenarios'], {
          cwd: ROOT,
          encoding: 'utf8',
        });
        assert.match(listed.stdout, new RegExp(`\\b${scenario}\\b`));
      } else {
        assert.ok(
          isCheckedElsewhere(command) || /^(npm run load|node dist\/src\/main\.js verify)/.test(command),
        );
      }
    });
  }
});
