// `npm run learn`: builds the project once and after each change of the branch learned from, then runs `metricsstream
// learn`. On a learner's own branch the code may not compile yet, so nothing is built there but by `learn check`.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const { stdout } = spawnSync('git', ['symbolic-ref', '--quiet', '--short', 'HEAD'], { encoding: 'utf8' });
const isLearners = (stdout ?? '').startsWith('my/') && existsSync('dist/src/main.js');
if (!isLearners) await import('./prepare.mjs');
const { status } = spawnSync(process.execPath, ['dist/src/main.js', 'learn', ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
