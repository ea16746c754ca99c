import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const run = fileURLToPath(new URL('../../bench/run.js', import.meta.url));

test('every component benchmark verifies its answers and runs', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [run, '--smoke'], { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  for (const component of ['parser', 'limiter', 'rings', 'crc', 'pipeline']) {
    assert.match(stdout, new RegExp(`${component}.*verified`, 'i'));
  }
});
