/** A private file system for a test, in a mount namespace that ends with this process. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { eventually } from './assertions.ts';
import type { Owner } from './clean-up.ts';
import { NamespaceShell } from './namespace-shell.ts';
import { temporaryDirectory } from './server-process.ts';

/** The reason why file systems cannot be mounted here, or null. */
export function mountRefusal(): string | null {
  const { status } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']);
  return status === 0 ? null : 'mounting is not permitted here (it takes root)';
}

/** Why this machine cannot make loop devices; null if it can. */
export function loopRefusal(): string | null {
  const refusal = mountRefusal();
  if (refusal !== null) return refusal;
  return spawnSync('losetup', ['--find']).status === 0 ? null : 'there are no loop devices here';
}

export class PrivateMount {
  /** The mounted directory as this process and its children reach it. */
  readonly directory: string;
  /** The same directory's name within the namespace. */
  readonly inside: string;
  /** A command that runs its arguments within the namespace. */
  readonly wrapper: readonly string[];
  private readonly shell: NamespaceShell;

  private constructor(inside: string, shell: NamespaceShell) {
    this.inside = inside;
    this.shell = shell;
    this.directory = join(`/proc/${shell.pid}/root`, inside);
    this.wrapper = ['nsenter', `--mount=/proc/${shell.pid}/ns/mnt`];
  }

  /** A namespace with an empty directory, on which `run` can then mount something. */
  static async open(owner: Owner): Promise<PrivateMount> {
    const inside = temporaryDirectory(owner, 'metricsstream-mount-');
    return new PrivateMount(inside, await NamespaceShell.open(owner, ['--mount']));
  }

  /** Unmounts what was mounted, as soon as the kernel has ended all use of it. */
  async unmount(): Promise<void> {
    await eventually('the file system is not busy', async () => {
      this.shell.stderr = '';
      try {
        await this.run(`umount ${this.inside}`);
        return true;
      } catch (error) {
        if (!/busy/.test(this.shell.stderr)) throw error;
        return false;
      }
    });
  }

  /** Runs a shell command in the namespace. @throws if it fails */
  run(line: string): Promise<void> {
    return this.shell.run(line);
  }
}
