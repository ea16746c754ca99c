// Installs npm packages if the lock file asks for others than are there, then builds. Plain Node, since a fresh clone
// has nothing else.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const [major, minor] = process.versions.node.split('.').map(Number);
if (![20, 22, 24].includes(major) || (major === 20 && minor < 15) || (major === 22 && minor < 2)) {
  console.error(
    `MetricsStream needs Node.js 20.15, 22.2 or 24.0, or a later 20, 22 or 24; this is ${process.version}.`,
  );
  process.exit(1);
}

function run(command, args, remedy) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) {
    console.error(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}. ${remedy}`);
    process.exit(1);
  }
}

const lock = readFileSync('package-lock.json', 'utf8');
const stamp = 'node_modules/.metricsstream-lock';
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  console.error('Installing npm packages (once)...');
  run(
    'npm',
    // The check above covers the version. One package that NATS brings asks for Node.js 22 and runs with 20 as well.
    ['ci', '--no-progress', '--loglevel=error'],
    'Check that npm reaches its registry, then run the same command again.',
  );
  writeFileSync(stamp, lock);
  rmSync('dist', { recursive: true, force: true });
}
run('node_modules/.bin/tsc', ['-p', '.'], 'The TypeScript sources do not compile; see the errors above.');
run(process.execPath, ['scripts/relax-uws.mjs'], 'See the error above.');
run(process.execPath, ['scripts/build-wasm.mjs'], 'See the error above.');
run(process.execPath, ['scripts/build-native.mjs'], 'See the error above.');
