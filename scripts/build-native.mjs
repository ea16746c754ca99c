// Compiles the addons of native/ to dist/native/ when a C compiler and the headers of Node.js are there. Nothing depends
// on them, so this never fails a build.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** Each addon, and what happens without it. */
const ADDONS = [
  {
    name: 'block-writes',
    files: ['block-writes.c', 'uring.c', 'aio.c', 'write-queue.h'],
    without: "the write-ahead log writes through libuv's thread pool instead",
  },
  { name: 'crc32', files: ['crc32.c'], without: 'zlib computes checksums instead' },
];
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
function buildAddon({ name, files, without }) {
  const paths = files.map((file) => join('native', file));
  const sources = paths.filter((path) => path.endsWith('.c'));
  const output = `dist/native/${name}.node`;
  const stampFile = `dist/native/${name}.stamp`;
  const hash = createHash('sha256').update(FLAGS.join(' '));
  for (const path of paths) hash.update(readFileSync(path));
  const stamp = hash.digest('hex');
  if (existsSync(output) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  const headers = findHeaders();
  const compiler = findCompiler();
  if (headers === null || compiler === null) {
    const missing = compiler === null ? 'no C compiler' : 'no node_api.h beside this Node.js';
    console.error(`The addon ${name} is not built (${missing}): ${without}.`);
    return;
  }
  mkdirSync(dirname(output), { recursive: true });
  // Under another name first: a server that runs may have the old one mapped.
  const temporary = `${output}.new`;
  const { status, stderr } = spawnSync(compiler, [...FLAGS, `-I${headers}`, '-o', temporary, ...sources], {
    encoding: 'utf8',
  });
  if (status !== 0) {
    console.error(`The addon ${name} does not compile: ${without}.\n${stderr}`);
    return;
  }
  renameSync(temporary, output);
  writeFileSync(stampFile, stamp);
}

for (const addon of ADDONS) buildAddon(addon);
