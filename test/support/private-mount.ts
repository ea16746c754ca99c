/**
 * A private file system for a test, in a mount namespace that lives as long as its holder: a shell that ends when its
 * standard input closes. So the mount and its loop device disappear with this process, however it ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { temporaryDirectory } from './server-process.ts';

/** Runs each line it reads and prints the exit status. */
const HOLDER = 'while read -r line; do eval "$line"; echo "$?"; done';

/** The reason why file systems cannot be mounted here, or null. */
export function mountRefusal(): string | null {
  const { status } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']);
  return status === 0 ? null : 'mounting is not permitted here (it takes root)';
}

/** The reason why there are no loop devices here, or null. */
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
  private readonly holder: ChildProcess;
  private readonly replies: Interface;
  private stderr = '';

  private constructor(inside: string, holder: ChildProcess) {
    this.inside = inside;
    this.holder = holder;
    this.directory = join(`/proc/${holder.pid}/root`, inside);
    this.replies = createInterface({ input: holder.stdout! });
    holder.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
  }

  /** A namespace with an empty directory, on which `run` can then mount something. */
  static async open(owner: Owner): Promise<PrivateMount> {
    const inside = temporaryDirectory(owner, 'metricsstream-mount-');
    const holder = spawn('unshare', ['--mount', 'sh', '-c', HOLDER], { stdio: 'pipe' });
    const mount = new PrivateMount(inside, holder);
    onEnd(owner, async () => {
      holder.stdin?.end();
      if (holder.exitCode === null) await once(holder, 'exit');
    });
    await mount.run('true');
    return mount;
  }

  /** Unmounts what was mounted, as soon as the kernel has ended all use of it. */
  async unmount(): Promise<void> {
    await eventually('the file system is not busy', async () => {
      this.stderr = '';
      try {
        await this.run(`umount ${this.inside}`);
        return true;
      } catch (error) {
        if (!/busy/.test(this.stderr)) throw error;
        return false;
      }
    });
  }

  /** Runs a shell command in the namespace. @throws if it fails */
  async run(line: string): Promise<void> {
    const reply = once(this.replies, 'line');
    this.holder.stdin!.write(`${line}\n`);
    const [status] = (await reply) as [string];
    if (status !== '0') throw new Error(`${line}: status ${status}\n${this.stderr}`);
  }
}
