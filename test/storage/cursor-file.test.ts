import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ArchiveFiles } from '../../src/archive/archive-files.ts';
import { type CursorFile, readCursorFile, writeCursorFile } from '../../src/storage/cursor-file.ts';
import { temporaryDirectory } from '../support/writer-rig.ts';

const CURSOR: CursorFile = {
  sink: 'files',
  place: 'here',
  log: 'a',
  commit: 1,
  segment: 1,
  updatedMs: 1,
  state: 'waiting',
  error: '',
  lagCommits: 0,
  lagBytes: 0,
  lagSeconds: 0,
  metricsTotal: 0,
  quarantined: 0,
};

/** Another process creates each directory just before this one does. */
function comeSecond(t: TestContext): void {
  const mkdir = fs.mkdirSync;
  t.mock.method(fs, 'mkdirSync', (...args: Parameters<typeof mkdir>) => {
    mkdir(...args);
    return mkdir(...args);
  });
}

test('two processes may create the directory of cursor files at once', (t) => {
  const dataDir = temporaryDirectory();
  comeSecond(t);
  writeCursorFile(dataDir, CURSOR);
  assert.deepEqual(readCursorFile(dataDir, 'files'), CURSOR);
  fs.rmSync(dataDir, { recursive: true });
});

test('two processes may create the archive at once', (t) => {
  const dataDir = temporaryDirectory();
  comeSecond(t);
  const files = new ArchiveFiles(dataDir);
  files.create();
  files.createPartition('date=2026-11-28/1-2.parquet');
  assert.deepEqual(fs.readdirSync(files.directory), ['date=2026-11-28']);
  fs.rmSync(dataDir, { recursive: true });
});

test('neither creates a data directory that is away', () => {
  const dataDir = join(temporaryDirectory(), 'away');
  assert.throws(() => writeCursorFile(dataDir, CURSOR), /ENOENT/);
  assert.throws(() => new ArchiveFiles(dataDir).create(), /ENOENT/);
  fs.rmSync(join(dataDir, '..'), { recursive: true });
});
