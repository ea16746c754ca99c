/** A clone as a learner has it: the sources in a repository of their own, the build beside them. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../src/learn/workspace.ts';
import { type Owner, onEnd } from '../support/clean-up.ts';

const SOURCES = [
  'src',
  'test',
  'load-test',
  'bench',
  'docs',
  'package.json',
  'tsconfig.json',
  '.gitignore',
  'EXERCISES.md',
];

export interface CommandResult {
  readonly code: number | null;
  readonly text: string;
  readonly errorText: string;
}

export class Clone {
  readonly root: string;

  /** Inside the project, so that its packages are found. */
  constructor(owner: Owner) {
    this.root = join(ROOT, '.artifacts', `learn-clone-${process.pid}-${Date.now()}`);
    mkdirSync(this.root, { recursive: true });
    onEnd(owner, () => rmSync(this.root, { recursive: true, force: true }));
    for (const name of SOURCES) cpSync(join(ROOT, name), join(this.root, name), { recursive: true });
    cpSync(join(ROOT, 'dist'), join(this.root, 'dist'), { recursive: true });
    this.git('init', '--quiet', '--initial-branch=main');
    this.commit('Clone');
  }

  /** Commits everything. */
  commit(message: string): void {
    this.git('add', '--all');
    this.git('-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '--quiet', '--message', message);
  }

  git(...args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync('git', args, { cwd: this.root, encoding: 'utf8' });
    if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  private command(args: readonly string[]): string[] {
    return [join(this.root, 'dist/src/main.js'), 'learn', ...args];
  }

  learn(...args: readonly string[]): CommandResult {
    const { status, stdout, stderr } = spawnSync(process.execPath, this.command(args), {
      cwd: this.root,
      encoding: 'utf8',
      // A learner's machine may have no name set for git.
      env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
    });
    return { code: status, text: stdout, errorText: stderr };
  }

  /** Runs the command in a terminal, with these lines typed into it. */
  learnInTerminal(typed: string, ...args: readonly string[]): CommandResult {
    const words = [process.execPath, ...this.command(args)].map((word) => `'${word}'`).join(' ');
    const { status, stdout, stderr } = spawnSync('script', ['-qec', words, '/dev/null'], {
      cwd: this.root,
      encoding: 'utf8',
      input: typed,
      env: { ...process.env, NO_COLOR: '1', TERM: 'dumb' },
    });
    return { code: status, text: stdout.replaceAll('\r', ''), errorText: stderr };
  }

  /** Starts a command that goes on; `next` waits until its output has the text after what was read before. */
  follow(
    owner: Owner,
    ...args: readonly string[]
  ): { next(text: string): Promise<string>; exited: Promise<number | null> } {
    const child = spawn(process.execPath, this.command(args), {
      cwd: this.root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onEnd(owner, () => child.kill('SIGKILL'));
    let output = '';
    let hasEnded = false;
    let arrived: () => void = () => {};
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      output += part;
      arrived();
    });
    const exited = new Promise<number | null>((resolve) =>
      child.once('close', (code) => {
        hasEnded = true;
        arrived();
        resolve(code);
      }),
    );
    const next = async (text: string): Promise<string> => {
      for (;;) {
        const at = output.indexOf(text);
        if (at >= 0) {
          const read = output.slice(0, at + text.length);
          output = output.slice(at + text.length);
          return read;
        }
        if (hasEnded) throw new Error(`the command ended before it printed "${text}": ${output}`);
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      }
    };
    return { next, exited };
  }
}
