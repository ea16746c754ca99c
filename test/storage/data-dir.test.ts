import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { MetricsStreamError } from '../../src/base/errors.ts';
import { acquireDataDir, ownerOf } from '../../src/storage/data-dir.ts';
import { temporaryDirectory } from '../support/writer-rig.ts';

const OWNER_SCRIPT = fileURLToPath(new URL('../support/lock-owner.js', import.meta.url));

async function startOwner(dataDir: string): Promise<{ process: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [OWNER_SCRIPT, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { process: child, said: said.toString().trim() };
}

test('makes the directory, owns it, tells who owns it, and lets it go', async () => {
  const parent = temporaryDirectory();
  const dataDir = join(parent, 'a', 'b');
  const lock = await acquireDataDir(dataDir);
  const owner = JSON.parse(fs.readFileSync(join(dataDir, 'OWNER'), 'utf8'));
  assert.equal(owner.pid, process.pid);
  assert.deepEqual(await ownerOf(dataDir), owner);
  await lock.release();
  assert.deepEqual(fs.readdirSync(dataDir), []);
  assert.equal(await ownerOf(dataDir), null);
  await (await acquireDataDir(dataDir)).release();
  fs.rmSync(parent, { recursive: true });
});

test('a second process is told which one owns the directory, by whatever path it comes', async () => {
  const dataDir = temporaryDirectory();
  const lock = await acquireDataDir(dataDir);
  const link = `${dataDir}-link`;
  fs.symlinkSync(dataDir, link);
  for (const path of [dataDir, link, `${dataDir}/../${dataDir.split('/').at(-1)}`]) {
    const second = await startOwner(path);
    assert.match(
      second.said,
      new RegExp(`in use by process ${process.pid} .*Stop that process, or give --data-dir`),
    );
    assert.deepEqual(await once(second.process, 'exit'), [3, null]);
  }
  await lock.release();
  fs.rmSync(link);
  fs.rmSync(dataDir, { recursive: true });
});

test('within one process too', async () => {
  const dataDir = temporaryDirectory();
  const lock = await acquireDataDir(dataDir);
  await assert.rejects(
    acquireDataDir(dataDir),
    (error: MetricsStreamError) => error.code === 'DATA_DIR_OWNED',
  );
  // The loser took nothing from the owner.
  assert.equal((await ownerOf(dataDir))?.pid, process.pid);
  assert.ok(fs.existsSync(join(dataDir, 'OWNER')));
  await lock.release();
  fs.rmSync(dataDir, { recursive: true });
});

test('an owner killed with -9 leaves the directory free', async () => {
  const dataDir = temporaryDirectory();
  const owner = await startOwner(dataDir);
  assert.equal(owner.said, 'owned');
  await assert.rejects(acquireDataDir(dataDir), new RegExp(`process ${owner.process.pid}`));
  owner.process.kill('SIGKILL');
  await once(owner.process, 'exit');
  const lock = await acquireDataDir(dataDir);
  await lock.release();
  fs.rmSync(dataDir, { recursive: true });
});

test('directories have locks of their own, also where one name begins the other', async () => {
  const parent = temporaryDirectory();
  const locks = [];
  for (let k = 0; k < 20; k++) locks.push(await acquireDataDir(join(parent, String(k))));
  for (const lock of locks) await lock.release();
  fs.rmSync(parent, { recursive: true });
});

test('a path that is no directory is an error with its remedy', async () => {
  const parent = temporaryDirectory();
  const file = join(parent, 'file');
  fs.writeFileSync(file, '');
  await assert.rejects(acquireDataDir(file), (error: MetricsStreamError) => {
    assert.equal(error.code, 'DATA_DIR_UNUSABLE');
    assert.match(error.message, /Give --data-dir a directory/);
    return true;
  });
  fs.rmSync(parent, { recursive: true });
});
