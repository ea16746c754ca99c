/** A clone as a learner has it: the sources in a repository of their own, the build beside them. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../src/learn/workspace.ts';
import { EVENT_TIMEOUT_MS } from '../support/assertions.ts';
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

  /** Starts a command that goes on. */
  follow(owner: Owner, ...args: readonly string[]): Followed {
    return new Followed(
      owner,
      spawn(process.execPath, this.command(args), {
        cwd: this.root,
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    );
  }

  /** Starts a command in a terminal. Type only when it asks: Ctrl-D before its prompt is lost, as in any terminal. */
  followInTerminal(owner: Owner, ...args: readonly string[]): Followed {
    const words = [process.execPath, ...this.command(args)].map((word) => `'${word}'`).join(' ');
    return new Followed(
      owner,
      spawn('script', ['-qec', words, '/dev/null'], {
        cwd: this.root,
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { ...process.env, NO_COLOR: '1', TERM: 'dumb' },
      }),
    );
  }
}

/** A command that runs beside the test. */
export class Followed {
  readonly exited: Promise<number | null>;
  private readonly child: ChildProcess;
  private output = '';
  private hasEnded = false;
  private arrived: () => void = () => {};

  constructor(owner: Owner, child: ChildProcess) {
    this.child = child;
    onEnd(owner, () => child.kill('SIGKILL'));
    child.stdout!.setEncoding('utf8').on('data', (part: string) => {
      this.output += part.replaceAll('\r', '');
      this.arrived();
    });
    this.exited = new Promise((resolve) =>
      child.once('close', (code) => {
        this.hasEnded = true;
        this.arrived();
        resolve(code);
      }),
    );
  }

  type(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Waits until the output has the text after what was read before. @returns the output up to its end */
  async next(text: string): Promise<string> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.arrived();
    }, EVENT_TIMEOUT_MS);
    try {
      for (;;) {
        const at = this.output.indexOf(text);
        if (at >= 0) return this.take(at + text.length);
        if (this.hasEnded) throw new Error(`the command ended before it printed "${text}": ${this.output}`);
        if (isLate) throw new Error(`not within ${EVENT_TIMEOUT_MS} ms: "${text}" in: ${this.output}`);
        await new Promise<void>((resolve) => {
          this.arrived = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private take(length: number): string {
    const read = this.output.slice(0, length);
    this.output = this.output.slice(length);
    return read;
  }
}
