/** Where a run was made, for its report. */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const GIB = 2 ** 30;

/** The checkout's commit; '' outside of one. */
export function commitText(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: fileURLToPath(new URL('.', import.meta.url)),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const commit = git('rev-parse', '--short', 'HEAD');
    return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit} with changes`;
  } catch {
    return '';
  }
}

export function machineText(): string {
  const cores = os.availableParallelism();
  const model = os.cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = `${(os.totalmem() / GIB).toFixed(1)} GiB`;
  return `${model}, ${cores} cores, ${memory}, ${os.type()} ${os.release()}, Node.js ${process.version}`;
}
