// `npm run learn`: builds the project, then runs `metricsstream learn`. A learner's own branch may not compile yet, so the
// earlier build serves there, and only `learn check` compiles the learner's code.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { prepare } from './prepare.mjs';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const { stdout } = spawnSync('git', ['symbolic-ref', '--quiet', '--short', 'HEAD'], { encoding: 'utf8' });
const isLearners = (stdout ?? '').startsWith('my/') && existsSync('dist/src/main.js');
if (!isLearners) await prepare({ forLearning: true });
const { status } = spawnSync(process.execPath, ['dist/src/main.js', 'learn', ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
