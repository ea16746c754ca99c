// Installs npm packages if the lock file asks for others than are there, then builds. Plain Node, since a fresh clone
// has nothing else.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writeLearnPackages } from './learn-packages.mjs';

/** The lock file that all packages, or those for learning, were installed from. */
const STAMP = 'node_modules/.metricsstream-lock';
const LEARN_STAMP = 'node_modules/.metricsstream-learn-lock';

function checkVersion() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if ([20, 22, 24].includes(major) && !(major === 20 && minor < 15) && !(major === 22 && minor < 2)) return;
  console.error(
    `MetricsStream needs Node.js 20.15, 22.2 or 24.0, or a later 20, 22 or 24; this is ${process.version}.`,
  );
  process.exit(1);
}

/** Ends the process if the command fails. */
function run(command, args, remedy, cwd = '.') {
  const fail = (cause) => {
    console.error(`${command} ${args.join(' ')} failed${cause}. ${remedy}`);
    process.exit(1);
  };
  return new Promise((resolve) => {
    spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], cwd })
      .once('error', ({ message }) => fail(`: ${message}`))
      .once('close', (code) => (code === 0 ? resolve() : fail('')));
  });
}

/** @param directory with the lock file */
async function install(directory, lock, stamp) {
  await run(
    'npm',
    // The check of the version suffices. One package that NATS brings asks for Node.js 22 and runs with 20 as well.
    ['ci', '--no-progress', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'],
    'Check that npm reaches its registry, then run the same command again.',
    directory,
  );
  writeFileSync(`${directory}/${stamp}`, lock);
  rmSync('dist', { recursive: true, force: true });
}

async function installWhatIsMissing(forLearning) {
  const lock = readFileSync('package-lock.json', 'utf8');
  const has = (stamp) => existsSync(stamp) && readFileSync(stamp, 'utf8') === lock;
  if (has(STAMP) || (forLearning && has(LEARN_STAMP))) return;
  console.error('Installing npm packages (once)...');
  if (!forLearning || existsSync('node_modules')) return install('.', lock, STAMP);
  const directory = '.learn/packages';
  writeLearnPackages(directory);
  await install(directory, lock, LEARN_STAMP);
  renameSync(`${directory}/node_modules`, 'node_modules');
  rmSync(directory, { recursive: true });
}

/**
 * @param forLearning installs and builds only what a learner runs, and leaves types to `learn check`: a first answer soon
 * after cloning is worth more than a proof that the sources compile, which CI has given. Any other command completes both.
 */
export async function prepare({ forLearning = false } = {}) {
  process.chdir(fileURLToPath(new URL('..', import.meta.url)));
  checkVersion();
  await installWhatIsMissing(forLearning);
  const script = (name) => run(process.execPath, [`scripts/${name}.mjs`], 'See the error above.');
  const compile = (project) =>
    run(
      'node_modules/.bin/tsc',
      ['-p', project],
      'The TypeScript sources do not compile; see the errors above.',
    );
  if (forLearning) await Promise.all([compile('src/learn'), script('relax-uws')]);
  else await Promise.all([compile('.'), ...['relax-uws', 'build-wasm', 'build-native'].map(script)]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await prepare();
