/** Runs `metricsstream explore` on a free port over a data directory. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Owner, onEnd } from './clean-up.ts';
import { ROOT } from './deploy-files.ts';

export interface ExploreProcess {
  readonly port: number;
  readonly url: string;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with all of standard error once it matches. */
  printed(wanted: RegExp): Promise<string>;
}

export async function startExplore(
  owner: Owner,
  dataDir: string,
  args: readonly string[] = [],
): Promise<ExploreProcess> {
  const command = [join(ROOT, 'dist/src/main.js'), 'explore', '--data-dir', dataDir, '--port', '0', ...args];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'inherit', 'pipe'] });
  const exited = once(child, 'exit');
  onEnd(owner, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  let text = '';
  let look = (): void => {};
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    look();
  });
  const printed = (wanted: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      look = () => {
        if (wanted.test(text)) resolve(text);
      };
      exited.then(() => reject(new Error(`explore ended:\n${text}`)));
      look();
    });
  const [, scheme = '', port = ''] =
    /(https?):\/\/127\.0\.0\.1:(\d+)\//.exec(await printed(/explore at http/)) ?? [];
  return {
    port: Number(port),
    url: `${scheme}://127.0.0.1:${port}`,
    kill: (signal) => void child.kill(signal),
    printed,
  };
}
