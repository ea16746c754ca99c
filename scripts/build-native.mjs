// Compiles native/uring.c to dist/native/uring.node when a C compiler and the headers of Node.js are there. Nothing
// depends on it: without the addon the write-ahead log writes through libuv's thread pool. So this never fails a build.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const SOURCE = 'native/uring.c';
const OUTPUT = 'dist/native/uring.node';
const STAMP = 'dist/native/uring.stamp';
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared'];

/** The folder of node_api.h, or null. Headers are never downloaded. */
function findHeaders() {
  const prefix = dirname(dirname(process.execPath));
  const folders = [join(prefix, 'include/node'), '/usr/include/node', '/usr/include/nodejs/src'];
  return folders.find((folder) => existsSync(join(folder, 'node_api.h'))) ?? null;
}

/** @returns {string | null} the compiler's command, or null */
function findCompiler() {
  const candidates = [process.env.CC, 'cc', 'gcc', 'clang'].filter((name) => name);
  return candidates.find((name) => spawnSync(name, ['--version']).status === 0) ?? null;
}

/** Builds the addon where that is possible, and says why where it is not. */
export function buildNative() {
  const stamp = createHash('sha256').update(readFileSync(SOURCE)).update(FLAGS.join(' ')).digest('hex');
  if (existsSync(OUTPUT) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp) return;
  const headers = findHeaders();
  const compiler = findCompiler();
  if (headers === null || compiler === null) {
    const missing = compiler === null ? 'no C compiler' : 'no node_api.h beside this Node.js';
    console.error(`The io_uring addon is not built (${missing}); the thread pool writes instead.`);
    return;
  }
  mkdirSync(dirname(OUTPUT), { recursive: true });
  // Under another name first: a server that runs may have the old one mapped.
  const temporary = `${OUTPUT}.new`;
  const { status, stderr } = spawnSync(compiler, [...FLAGS, `-I${headers}`, '-o', temporary, SOURCE], {
    encoding: 'utf8',
  });
  if (status !== 0) {
    console.error(`The io_uring addon does not compile; the thread pool writes instead.\n${stderr}`);
    return;
  }
  renameSync(temporary, OUTPUT);
  writeFileSync(STAMP, stamp);
}
