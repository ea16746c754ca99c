/** The few things that learning needs of git. Never touches another branch than the learner's. */
import { spawnSync } from 'node:child_process';
import { MetricsStreamError } from '../base/errors.ts';

export interface GitResult {
  readonly ok: boolean;
  readonly text: string;
  readonly errorText: string;
}

export interface GitInput {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Commits work where nobody has set a name, and without hooks or signatures of the learner's own. */
const SETTINGS = [
  '-c',
  'commit.gpgsign=false',
  '-c',
  'core.hooksPath=/dev/null',
  '-c',
  'advice.detachedHead=false',
];
const OUTPUT_MAX_BYTES = 64 << 20;

export function tryGit(root: string, args: readonly string[], { input, env }: GitInput = {}): GitResult {
  const { status, stdout, stderr, error } = spawnSync('git', [...SETTINGS, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: OUTPUT_MAX_BYTES,
    ...(input === undefined ? {} : { input }),
    env: { ...process.env, ...env },
  });
  if (error !== undefined) {
    throw new MetricsStreamError('LEARN_UNAVAILABLE', 'learn needs git on the PATH (Debian package git)');
  }
  return { ok: status === 0, text: stdout.trimEnd(), errorText: stderr.trim() };
}

export function git(root: string, args: readonly string[], input: GitInput = {}): string {
  const { ok, text, errorText } = tryGit(root, args, input);
  if (ok) return text;
  const line = errorText.replaceAll(/\s*\n\s*/g, ' ');
  throw new MetricsStreamError('LEARN_UNAVAILABLE', `git ${args.join(' ')} failed: ${line}`);
}

const LEARNER = {
  GIT_AUTHOR_NAME: 'learner',
  GIT_AUTHOR_EMAIL: 'learner@localhost',
  GIT_COMMITTER_NAME: 'learner',
  GIT_COMMITTER_EMAIL: 'learner@localhost',
};

/** Commits `files`, also without a change. */
export function commit(root: string, message: string, files: readonly string[]): void {
  const hasName = tryGit(root, ['config', 'user.email']).ok;
  const env = hasName ? {} : LEARNER;
  git(root, ['commit', '--quiet', '--allow-empty', '-m', message, '--', ...files], { env });
}

/** The branch, or null if the head is detached. */
export function currentBranch(root: string): string | null {
  const { ok, text } = tryGit(root, ['symbolic-ref', '--quiet', '--short', 'HEAD']);
  return ok ? text : null;
}

/** Tracked files with changes that are not committed. */
export function changedFiles(root: string): string[] {
  return git(root, ['status', '--porcelain', '--untracked-files=no', '-z'])
    .split('\0')
    .filter((entry) => entry !== '')
    .map((entry) => entry.slice(3));
}

/** Text of a file as a revision has it, byte for byte. */
export function fileAt(root: string, revision: string, path: string): string {
  const args = ['show', `${revision}:${path}`];
  const { status, stdout, stderr } = spawnSync('git', args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: OUTPUT_MAX_BYTES,
  });
  if (status === 0) return stdout;
  throw new MetricsStreamError('LEARN_UNAVAILABLE', `git has no ${path} in ${revision}: ${stderr.trim()}`);
}
