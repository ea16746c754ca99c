/** Why other namespaces cannot be entered here, or null. */
import { spawnSync } from 'node:child_process';

/** Runs a command in network, mount and PID namespaces of its own. */
export const UNSHARE: readonly string[] = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child'];

export function namespaceRefusal(): string | null {
  const [command = '', ...args] = UNSHARE;
  const { status } = spawnSync(command, [...args, 'true']);
  return status === 0 ? null : 'namespaces are not permitted here (they need root)';
}
