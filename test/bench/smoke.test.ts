import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireTool } from '../support/tools.ts';

function runBench(script: string, args: readonly string[]): string {
  const path = fileURLToPath(new URL(`../../bench/${script}`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  return stdout;
}

const TITLES = [
  'parser to columns',
  'parser to lines',
  'parser scaling',
  'rate limiter',
  'limiter locks',
  'dispatch',
  'recording telemetry',
  'locked and ring telemetry',
  'token check',
  'CRC-32',
  'journal ring',
  'writer batches',
  'write-ahead log',
  'pipeline',
];

test('every folder of bench/ with a main.ts is a component or has a command of its own', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const scripts = readFileSync(join(root, 'package.json'), 'utf8');
  const listed = runBench('run.js', ['--list']);
  const guides = readdirSync(join(root, 'docs/benchmarks')).map((name) =>
    readFileSync(join(root, 'docs/benchmarks', name), 'utf8'),
  );
  for (const name of readdirSync(join(root, 'bench'))) {
    if (!existsSync(join(root, 'bench', name, 'main.ts'))) continue;
    const isComponent = new RegExp(`^${name} `, 'm').test(listed);
    const path = `dist/bench/${name}/main.js`;
    assert.ok(isComponent || scripts.includes(path) || guides.some((text) => text.includes(path)), name);
  }
});

test('every component benchmark verifies its answers and runs', () => {
  const output = runBench('run.js', ['--smoke']);
  for (const title of TITLES) assert.match(output, new RegExp(`^${title}.*verified$`, 'm'));
});

test('the server benchmark finds every acknowledged line in the files', { skip: requireTool('wrk') }, () => {
  runBench('compare/main.js', ['--smoke', '--only', 'bare,fastify,written', '--batch', '100']);
});

test('servers with one and two workers store what they acknowledged', { skip: requireTool('wrk') }, () => {
  assert.match(runBench('workers/main.js', ['--smoke']), /^[1-9]\d* loads stored what they acknowledged$/m);
});

test('the comparison of admission policies gives the same figures for the same seed', () => {
  const table = runBench('admission/main.js', ['--smoke']);
  assert.match(table, /delay-steered window/);
  assert.equal(runBench('admission/main.js', ['--smoke']), table);
});

test('the live page benchmark feeds its streams', () => {
  assert.match(runBench('live-page/main.js', ['--smoke']), /^one page, limiter full +[\d.]+% of one core$/m);
});
