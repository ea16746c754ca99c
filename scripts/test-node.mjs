// Runs the end-to-end suite under the other supported versions of Node.js, from npm's packages of their binaries.
// Usage: node scripts/test-node.mjs [--install-only] [part of a test's path ...]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const VERSIONS = ['22.23.3', '24.21.0'];

/** Where the binary of a version is kept; test/e2e/node-versions.test.ts looks there too. */
const directoryOf = (version) => join(root, '.artifacts', `node-${version.split('.')[0]}`);

function run(command, args, cwd) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit' });
  if (status === 0) return;
  console.error(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`);
  process.exit(1);
}

/** @returns the path of the binary, which is installed if it is missing */
function install(version) {
  const directory = directoryOf(version);
  const name = `node-linux-${process.arch}`;
  const binary = join(directory, 'node_modules', name, 'bin', 'node');
  const isThere =
    existsSync(binary) && spawnSync(binary, ['--version']).stdout?.toString().trim() === `v${version}`;
  if (isThere) return binary;
  console.error(`Installing Node.js ${version} in ${directory} (once, about 120 MB)...`);
  mkdirSync(directory, { recursive: true });
  run(
    'npm',
    ['install', '--prefix', directory, '--no-save', '--no-progress', `${name}@${version}`],
    directory,
  );
  return binary;
}

const args = process.argv.slice(2);
const installOnly = args[0] === '--install-only';
const parts = args.slice(installOnly ? 1 : 0);
for (const version of VERSIONS) {
  const binary = install(version);
  if (installOnly) continue;
  console.error(`Node.js ${version}:`);
  run(binary, [join(root, 'scripts/test.mjs'), ...(parts.length > 0 ? parts : ['e2e/'])], root);
}
