/** The git commands that learning needs. Commits only to the branch that is checked out. */
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

/** Commits succeed without the learner's own hooks and signatures. */
const SETTINGS = [
  '-c',
  'commit.gpgsign=false',
  '-c',
  'core.hooksPath=/dev/null',
  '-c',
  'advice.detachedHead=false',
];
const OUTPUT_MAX_BYTES = 64 << 20;

/** `text` is the whole output, with a newline at its end. */
function runGit(root: string, args: readonly string[], { input, env }: GitInput = {}): GitResult {
  const { status, stdout, stderr, error } = spawnSync('git', [...SETTINGS, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: OUTPUT_MAX_BYTES,
    ...(input === undefined ? {} : { input }),
    env: { ...process.env, ...env },
  });
  if (error !== undefined) {
    const text =
      (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? 'learn needs git on the PATH (Debian package git)'
        : `git ${args[0]} failed: ${error.message}`;
    throw new MetricsStreamError('LEARN_UNAVAILABLE', text);
  }
  return { ok: status === 0, text: stdout, errorText: stderr.trim() };
}

export function tryGit(root: string, args: readonly string[], input: GitInput = {}): GitResult {
  const { text, ...rest } = runGit(root, args, input);
  return { ...rest, text: text.trimEnd() };
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

/** Commits `files`; an empty commit marks a step that needed no change. */
export function commit(root: string, message: string, files: readonly string[]): void {
  const hasName = tryGit(root, ['config', 'user.email']).ok;
  const env = hasName ? {} : LEARNER;
  git(root, ['commit', '--quiet', '--allow-empty', '-m', message, '--', ...files], { env });
}

/** The branch, or null if HEAD is detached. */
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
  const { ok, text, errorText } = runGit(root, ['show', `${revision}:${path}`]);
  if (ok) return text;
  throw new MetricsStreamError('LEARN_UNAVAILABLE', `git cannot read ${path} in ${revision}: ${errorText}`);
}
