import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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
  'pipeline',
];

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

test('the comparison of admission policies says the same for the same seed', () => {
  const table = runBench('admission-simulation.js', ['--smoke']);
  assert.match(table, /delay-steered window/);
  assert.equal(runBench('admission-simulation.js', ['--smoke']), table);
});

test('the live page benchmark has its streams fed', () => {
  assert.match(runBench('live-page.js', ['--smoke']), /^one page, limiter full +[\d.]+% of one core$/m);
});
