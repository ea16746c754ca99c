/**
 * A network of its own for processes of a test, joined to the host by one cable (a veth pair) that can be cut and mended.
 * Namespace and cable end with this process.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import type { Owner } from './clean-up.ts';
import { NamespaceShell } from './namespace-shell.ts';
import { hasProgram, PATH_WITH_SYSTEM } from './tools.ts';

const env = { ...process.env, PATH: PATH_WITH_SYSTEM };

/** Why this machine cannot make network namespaces; null if it can. */
export function networkRefusal(): string | null {
  if (!hasProgram('ip')) return 'ip is not installed (Debian package iproute2)';
  const { status } = spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'type', 'veth'], { env });
  return status === 0 ? null : 'network namespaces are not permitted here (they take root)';
}

/** Cells of this process so far: the kernel removes a cable some time after its test. */
let cells = 0;

const host = (...args: readonly string[]): void => {
  execFileSync('ip', args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
};

export class NetworkCell {
  /** The host's address on the cable. */
  readonly hostAddress: string;
  /** A command that runs its arguments in the network. */
  readonly wrapper: readonly string[];
  private readonly cable: string;

  private constructor(shell: NamespaceShell, cable: string, hostAddress: string) {
    this.cable = cable;
    this.hostAddress = hostAddress;
    this.wrapper = ['nsenter', `--net=/proc/${shell.pid}/ns/net`];
  }

  static async open(owner: Owner): Promise<NetworkCell> {
    const shell = await NamespaceShell.open(owner, ['--net']);
    const cable = `ms${shell.pid}`;
    // Four addresses of TEST-NET-2 (RFC 5737) for each cell.
    const block = 4 * ((process.pid + 16 * cells++) % 64);
    const [outer, inner] = [1, 2].map((k) => `198.51.100.${block + k}`);
    host('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'cell', 'netns', String(shell.pid));
    host('addr', 'add', `${outer}/30`, 'dev', cable);
    host('link', 'set', cable, 'up');
    await shell.run(`PATH=${PATH_WITH_SYSTEM}; ip addr add ${inner}/30 dev cell && ip link set cell up`);
    return new NetworkCell(shell, cable, outer!);
  }

  /** Packets disappear from now on, without a word to either side. */
  cut(): void {
    host('link', 'set', this.cable, 'down');
  }

  mend(): void {
    host('link', 'set', this.cable, 'up');
  }
}
