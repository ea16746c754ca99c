import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import { it } from 'node:test';
import { mountRefusal, PrivateMount } from '../support/private-mount.ts';

const MODULE = new URL('../../src/base/thread-priority.js', import.meta.url).href;
const STEPS = 3;

it('the priority is lowered also where /proc is not mounted', {
  skip: mountRefusal() ?? false,
}, async (t) => {
  const mount = await PrivateMount.open(t);
  await mount.run('mount -t tmpfs tmpfs /proc');
  const [command = '', ...args] = mount.wrapper;
  const code = `import('${MODULE}').then((module) => {
    module.lowerThreadPriority(${STEPS});
    console.log(require('node:os').getPriority());
  })`;
  const { stdout, stderr } = spawnSync(command, [...args, process.execPath, '-e', code], {
    encoding: 'utf8',
  });
  const lowest = os.constants.priority.PRIORITY_LOW;
  assert.equal(stdout, `${Math.min(lowest, os.getPriority() + STEPS)}\n`, stderr);
});
