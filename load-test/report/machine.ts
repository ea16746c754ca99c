/** Command, machine and commit of a run, for its report. */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Section } from './page.ts';

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
  // Not availableParallelism: a load generator keeps itself to one core.
  const cores = os.cpus().length;
  const model = os.cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = `${(os.totalmem() / GIB).toFixed(1)} GiB`;
  return `${model}, ${cores} cores, ${memory}, ${os.type()} ${os.release()}, Node.js ${process.version}`;
}

/** The section that every page ends with. @param rows further facts about the run */
export function originSection(command: string, rows: readonly (readonly string[])[]): Section {
  const commit = commitText();
  const all = [
    ['command', `\`${command}\``],
    ...rows,
    ['machine', machineText()],
    ...(commit === '' ? [] : [['commit', commit]]),
  ];
  return { heading: 'The run', table: { head: ['', ''], kind: 'text', rows: all } };
}
