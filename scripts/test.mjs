// Runs the tests. Without arguments: format, lint, dead code, links, then every test file. With arguments: only the
// test files whose path contains one of them.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import './build-wasm.mjs';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** Files that take longest start first, so that no long one runs alone at the end. Others follow by name. */
const SLOWEST_FIRST = [
  'faults/suite',
  'bench/journey',
  'e2e/node-versions',
  'export/kill',
  'export/postgres',
  'export/partition',
  'bench/smoke',
  'bench/overload',
  'deploy/dashboard',
  'e2e/timeouts',
  'e2e/live-page',
  'happens-before/product',
  'stress/',
];
/** Tests mostly wait: for timers, for disks that they make slow, for processes that start. */
const FILES_AT_ONCE = Number(process.env.METRICSSTREAM_TEST_FILES_AT_ONCE) || 2 * availableParallelism();
/** Ends a file that hangs. The longest takes 4 minutes alone, and four times as long on a slow and busy machine. */
const FILE_TIMEOUT_MS = (Number(process.env.METRICSSTREAM_TEST_FILE_MINUTES) || 18) * 60_000;
const SLOWEST_SHOWN = 25;

function lint() {
  const { status } = spawnSync('npm', ['run', '--silent', 'lint'], { stdio: 'inherit' });
  if (status === 0) return;
  console.error(
    '`npm run lint` failed. Run `npm run format`, then fix what is left: delete code that nothing uses, ' +
      'list new entry points in knip.json, correct links.',
  );
  process.exit(1);
}

function rank(file) {
  const index = SLOWEST_FIRST.findIndex((part) => file.includes(`/${part}`));
  return index === -1 ? SLOWEST_FIRST.length : index;
}

function testFiles(wanted) {
  return (
    readdirSync('dist/test', { recursive: true })
      .filter((name) => name.endsWith('.test.js'))
      .map((name) => `dist/test/${name}`)
      // An earlier build may have left a compiled file whose source is gone.
      .filter((name) => existsSync(name.replace(/^dist\//, '').replace(/\.js$/, '.ts')))
      .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
      .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
  );
}

function printSlowest(msOfFile) {
  const slowest = [...msOfFile].sort(([, a], [, b]) => b - a).slice(0, SLOWEST_SHOWN);
  console.log('slowest files:');
  for (const [file, ms] of slowest) console.log(`${(ms / 1000).toFixed(1).padStart(7)} s  ${file}`);
}

const wanted = process.argv.slice(2);
const files = testFiles(wanted);
if (files.length === 0) {
  console.error(`No test file has ${wanted.join(' or ')} in its path.`);
  process.exit(1);
}
if (wanted.length === 0) lint();

// Each test file is a process that inherits these flags.
process.execArgv.push('--enable-source-maps');
const msOfFile = new Map();
const addTime = ({ file, nesting, details }) => {
  if (nesting === 0 && file) msOfFile.set(file, (msOfFile.get(file) ?? 0) + details.duration_ms);
};
const tests = run({
  files: files.map((file) => fileURLToPath(new URL(`../${file}`, import.meta.url))),
  concurrency: FILES_AT_ONCE,
  timeout: FILE_TIMEOUT_MS,
});
tests.on('test:pass', addTime);
tests.on('test:fail', (event) => {
  addTime(event);
  process.exitCode = 1;
});
const report = tests.compose(new spec());
report.on('end', () => {
  if (wanted.length === 0) printSlowest(msOfFile);
});
report.pipe(process.stdout);
