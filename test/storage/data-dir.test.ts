import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { MetricsStreamError } from '../../src/base/errors.ts';
import { acquireDataDir, type DataDirLock, ownerOf } from '../../src/storage/data-dir.ts';
import { DirectoryIdentity, sameFile } from '../../src/storage/directory-identity.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { recover } from '../../src/storage/recovery.ts';
import { eventually } from '../support/assertions.ts';
import { namespaceRefusal, UNSHARE } from '../support/namespaces.ts';
import { temporaryDirectory } from '../support/writer-rig.ts';

const OWNER_SCRIPT = fileURLToPath(new URL('../support/lock-owner.js', import.meta.url));

async function startOwner(
  dataDir: string,
  { wrapper = [], env = {} }: { wrapper?: readonly string[]; env?: Record<string, string> } = {},
): Promise<{ process: ChildProcess; said: string }> {
  const [command = '', ...args] = [...wrapper, process.execPath, OWNER_SCRIPT, dataDir];
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { process: child, said: said.toString().trim() };
}

test('creates the directory, owns it, says who owns it, and releases it', async () => {
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

test('a second process gets the name of the owner, whichever path it uses', async () => {
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
  // The owner still has everything.
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

test('a process in other namespaces gets the name of the owner', async (t) => {
  const refusal = namespaceRefusal();
  if (refusal !== null) return t.skip(refusal);
  const dataDir = temporaryDirectory();
  const lock = await acquireDataDir(dataDir);
  const second = await startOwner(dataDir, { wrapper: UNSHARE });
  assert.match(second.said, new RegExp(`in use by process ${process.pid} .*Stop that process`));
  // Neither the file OWNER nor another name of the directory leads around the lock.
  fs.rmSync(join(dataDir, 'OWNER'));
  fs.renameSync(dataDir, `${dataDir}-renamed`);
  const third = await startOwner(`${dataDir}-renamed`, { wrapper: UNSHARE });
  assert.match(third.said, /in use by another process/);
  fs.renameSync(`${dataDir}-renamed`, dataDir);
  await lock.release();
  const fourth = await startOwner(dataDir, { wrapper: UNSHARE });
  assert.equal(fourth.said, 'owned');
  fourth.process.kill('SIGKILL');
  await once(fourth.process, 'exit');
  fs.rmSync(dataDir, { recursive: true });
});

test('an owner in other namespaces killed with -9 leaves the directory free', async (t) => {
  const refusal = namespaceRefusal();
  if (refusal !== null) return t.skip(refusal);
  const dataDir = temporaryDirectory();
  const owner = await startOwner(dataDir, { wrapper: UNSHARE });
  assert.equal(owner.said, 'owned');
  await assert.rejects(acquireDataDir(dataDir), /is in use by process/);
  owner.process.kill('SIGKILL');
  // Its output closes when the last process of the namespace has ended.
  await once(owner.process, 'close');
  await (await acquireDataDir(dataDir)).release();
  fs.rmSync(dataDir, { recursive: true });
});

test('without flock(1) the socket still keeps a second process out, and the lock reports the gap', async () => {
  const dataDir = temporaryDirectory();
  const owner = await startOwner(dataDir, { env: { PATH: '/nonexistent' } });
  assert.equal(owner.said, 'owned: flock(1) of util-linux is not installed');
  const second = await startOwner(dataDir);
  assert.match(second.said, /in use by process/);
  owner.process.kill('SIGKILL');
  await once(owner.process, 'exit');
  fs.rmSync(dataDir, { recursive: true });
});

interface Watched {
  readonly lock: DataDirLock;
  readonly warnings: string[];
  readonly lost: string[];
}

async function watch(dataDir: string, log: string): Promise<Watched> {
  const lock = await acquireDataDir(dataDir);
  const warnings: string[] = [];
  const lost: string[] = [];
  lock.watch(log, { warn: (text) => warnings.push(text), lost: (reason) => lost.push(reason) });
  return { lock, warnings, lost };
}

const ownedBy = (lock: DataDirLock) => new DirectoryIdentity(lock.directory).get();

test('a directory removed and recreated is locked again when it is empty, or holds the same log', async () => {
  for (const content of ['nothing', 'the same log']) {
    const dataDir = temporaryDirectory();
    const { log } = recover(nodeFileOps, dataDir);
    const { lock, warnings } = await watch(dataDir, log);
    const copy = fs.readFileSync(join(dataDir, 'log.json'));
    fs.rmSync(dataDir, { recursive: true });
    fs.mkdirSync(dataDir);
    if (content === 'the same log') fs.writeFileSync(join(dataDir, 'log.json'), copy);
    await eventually('the new directory is published', () => sameFile(ownedBy(lock), fs.statSync(dataDir)));
    await assert.rejects(acquireDataDir(dataDir), /in use by process/);
    assert.deepEqual(warnings, []);
    await lock.release();
    fs.rmSync(dataDir, { recursive: true });
  }
});

test('a directory that was left for another one is used again when it comes back', async () => {
  const dataDir = temporaryDirectory();
  const { log } = recover(nodeFileOps, dataDir);
  const { lock, warnings } = await watch(dataDir, log);
  const away = `${dataDir}-away`;
  for (const round of ['first', 'second']) {
    const first = fs.statSync(dataDir);
    fs.renameSync(dataDir, away);
    fs.mkdirSync(dataDir);
    const published = () => sameFile(ownedBy(lock), fs.statSync(dataDir));
    await eventually(`the new directory is published, ${round} time`, published);
    fs.rmSync(dataDir, { recursive: true });
    fs.renameSync(away, dataDir);
    await eventually(`the old one is published again, ${round} time`, published);
    assert.ok(sameFile(ownedBy(lock), first));
  }
  assert.deepEqual(warnings, []);
  await assert.rejects(acquireDataDir(dataDir), /in use by process/);
  await lock.release();
  assert.equal(fs.existsSync(join(dataDir, 'OWNER')), false);
  await (await acquireDataDir(dataDir)).release();
  fs.rmSync(dataDir, { recursive: true });
});

test('a directory replaced while it is locked is not used, and its locks are released', async () => {
  const dataDir = temporaryDirectory();
  const away = `${dataDir}-away`;
  const acquired = acquireDataDir(dataDir);
  fs.renameSync(dataDir, away);
  fs.mkdirSync(dataDir);
  await assert.rejects(acquired, /was replaced while the server locked it/);
  for (const path of [dataDir, away]) {
    await (await acquireDataDir(path)).release();
    fs.rmSync(path, { recursive: true });
  }
});

test('a directory with another log, or locked by another process, is not used, and logged once', async () => {
  for (const content of ['another log', 'segments without a record', 'another owner']) {
    const dataDir = temporaryDirectory();
    const { log } = recover(nodeFileOps, dataDir);
    const { lock, warnings } = await watch(dataDir, log);
    const before = ownedBy(lock);
    const next = temporaryDirectory();
    if (content === 'another log') recover(nodeFileOps, next);
    if (content === 'segments without a record') fs.writeFileSync(join(next, 'metrics-00000001.ndjson'), '');
    const owner = content === 'another owner' ? await startOwner(next) : null;
    fs.renameSync(dataDir, `${dataDir}-away`);
    fs.renameSync(next, dataDir);
    await eventually('the refusal is logged', () => warnings.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    assert.equal(warnings.length, 1, warnings.join());
    assert.match(warnings[0]!, /leads to another directory, which is not used: /);
    assert.deepEqual(ownedBy(lock), before);
    await lock.release();
    owner?.process.kill('SIGKILL');
    if (owner !== null) await once(owner.process, 'exit');
    for (const path of [dataDir, `${dataDir}-away`]) fs.rmSync(path, { recursive: true });
  }
});

test('OWNER deleted or replaced is written and locked again', async () => {
  const dataDir = temporaryDirectory();
  const { lock, warnings, lost } = await watch(dataDir, 'a log');
  const file = join(dataDir, 'OWNER');
  for (const injure of [() => fs.rmSync(file), () => fs.renameSync(`${file}.other`, file)]) {
    fs.writeFileSync(`${file}.other`, 'not an owner');
    const before = warnings.length;
    injure();
    await eventually('OWNER is back', () => warnings.length > before);
    assert.equal(JSON.parse(fs.readFileSync(file, 'utf8')).pid, process.pid);
  }
  assert.deepEqual(lost, []);
  await lock.release();
  assert.equal(fs.existsSync(file), false);
  fs.rmSync(dataDir, { recursive: true });
});

test('directories have locks of their own, also where one name begins the other', async () => {
  const parent = temporaryDirectory();
  const locks = [];
  for (let k = 0; k < 20; k++) locks.push(await acquireDataDir(join(parent, String(k))));
  for (const lock of locks) await lock.release();
  fs.rmSync(parent, { recursive: true });
});

test('a path to a file is an error with its remedy', async () => {
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

test('a directory of the name OWNER prevents neither start nor end', async () => {
  const dataDir = temporaryDirectory();
  fs.mkdirSync(join(dataDir, 'OWNER'));
  const lock = await acquireDataDir(dataDir);
  await lock.release();
  await (await acquireDataDir(dataDir)).release();
  fs.rmSync(dataDir, { recursive: true });
});

test('a directory that vanishes while it is locked is an error with its code', async (t) => {
  const dataDir = join(temporaryDirectory(), 'data');
  const access = fs.accessSync;
  t.mock.method(fs, 'accessSync', (...args: Parameters<typeof access>) => {
    access(...args);
    fs.rmSync(dataDir, { recursive: true });
  });
  await assert.rejects(acquireDataDir(dataDir), (error: MetricsStreamError) => {
    assert.equal(error.code, 'DATA_DIR_UNUSABLE');
    assert.match(error.message, /cannot lock the data directory .*: ENOENT/);
    return true;
  });
  fs.rmSync(join(dataDir, '..'), { recursive: true });
});

test('a file system that fails during the lock leaves nothing locked', async (t) => {
  const dataDir = temporaryDirectory();
  const fstat = fs.fstatSync;
  const failing = t.mock.method(fs, 'fstatSync', (fd: number) => {
    const status = fstat(fd);
    // As NFS does after the server has lost the directory.
    if (status.isDirectory())
      throw Object.assign(new Error('stale file handle'), { code: 'ESTALE', errno: -116 });
    return status;
  });
  await assert.rejects(acquireDataDir(dataDir), /cannot lock the data directory .*: ESTALE/);
  assert.ok(failing.mock.callCount() > 0);
  failing.mock.restore();
  await (await acquireDataDir(dataDir)).release();
  fs.rmSync(dataDir, { recursive: true });
});
