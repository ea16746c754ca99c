/**
 * Commands of LEARNING_PATH.md and docs/phases/ in a form that takes seconds: shorter loads, a free port, and no second
 * run of tests and benchmarks that `npm test` runs anyway.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/deploy-files.ts';

const TEST_FILES = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => `dist/test/${name.replace(/\.ts$/, '.js')}`);
const SCRIPTS = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }).scripts;

const SHORTER: readonly (readonly [RegExp, string])[] = [
  [/--duration \d+s/, '--duration 500ms'],
  [/-d\d+s\b/, '-d1s'],
  [/--clients \d+/, '--clients 2'],
  [/\$\(seq \d+\)/, '$(seq 2)'],
  [/(load -- \d+) (\d+) \d+ /, '$1 $2 5 '],
];

/** @throws unless each part selects a test file */
function assertTestsExist(parts: readonly string[]): void {
  assert.ok(parts.length > 0, 'runs every test');
  for (const part of parts)
    assert.ok(
      TEST_FILES.some((file) => file.includes(part)),
      `no test file has ${part}`,
    );
}

/** Checks a command that is not run again. @returns whether it is such a command */
export function isCheckedElsewhere(command: string): boolean {
  const tests = /^(?:node scripts\/test\.mjs|npm test --) (.+)$/.exec(command)?.[1];
  if (tests !== undefined) {
    assertTestsExist(tests.split(' '));
    return true;
  }
  const bench = /^(?:\w+=\d+ )?node dist\/bench\/([\w-]+)\/main\.js\b/.exec(command)?.[1];
  if (bench !== undefined) {
    assert.ok(existsSync(join(ROOT, 'bench', bench, 'main.ts')), `bench/${bench} does not exist`);
    return true;
  }
  const script = /^npm run ([\w:]+)/.exec(command)?.[1];
  if (script === undefined || script === 'load') return false;
  assert.ok(script in SCRIPTS, `package.json has no script ${script}`);
  return true;
}

/** A script for bash that runs the block, with servers and loads on `port`. */
export function smokeForm(text: string, port: number): string {
  const lines = text.replaceAll(/\\\n\s*/g, '').split('\n');
  return lines
    .map((line) => {
      const parts = line.split(' && ').map((part) => part.replace(/\s+#.*$/, '').trim());
      if (parts.every(isCheckedElsewhere)) return '';
      const shorter = SHORTER.reduce((form, [from, to]) => form.replace(from, to), line);
      const server = shorter.replace(/(main\.js serve)\b(?!')/, `$1 --port ${port}`);
      const foreground = server !== shorter && !server.includes('&');
      return `${server}${foreground ? ' & sleep 1' : ''}`
        .replaceAll(/(localhost|127\.0\.0\.1):8080/g, `127.0.0.1:${port}`)
        .replace('npm run load -- 8080', `node dist/load-test/main.js ${port}`)
        .replace('npm run load --', `node dist/load-test/main.js --port ${port}`)
        .replace('load-test/main.js --clients', `load-test/main.js --port ${port} --clients`)
        .replace(/ & sleep 1\b/, ' & ready');
    })
    .join('\n');
}
