/**
 * A shell in namespaces of its own, which live as long as it does: it ends when its standard input closes. So mounts,
 * devices and interfaces in it disappear with this process, however it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { type Owner, onEnd } from './clean-up.ts';

/** Runs each line it reads and prints the exit status. */
const LOOP = 'while read -r line; do eval "$line"; echo "$?"; done';

export class NamespaceShell {
  readonly pid: number;
  /** Everything it wrote to standard error. */
  stderr = '';
  private readonly shell: ChildProcess;
  private readonly replies: Interface;

  private constructor(shell: ChildProcess) {
    this.shell = shell;
    this.pid = shell.pid ?? 0;
    this.replies = createInterface({ input: shell.stdout! });
    shell.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
  }

  /** @param namespaces options of `unshare`, such as `--mount` */
  static async open(owner: Owner, namespaces: readonly string[]): Promise<NamespaceShell> {
    const shell = spawn('unshare', [...namespaces, 'sh', '-c', LOOP], { stdio: 'pipe' });
    const opened = new NamespaceShell(shell);
    onEnd(owner, async () => {
      shell.stdin?.end();
      if (shell.exitCode === null) await once(shell, 'exit');
    });
    await opened.run('true');
    return opened;
  }

  /** Runs a shell command in the namespaces. @throws if it fails */
  async run(line: string): Promise<void> {
    const reply = once(this.replies, 'line');
    this.shell.stdin!.write(`${line}\n`);
    const [status] = (await reply) as [string];
    if (status !== '0') throw new Error(`${line}: status ${status}\n${this.stderr}`);
  }
}
