/**
 * Processes that measure one case each: a call site that has seen several implementations is slower than in production.
 *
 * A child verifies its case and sends `ready`. Then it answers each message with the figures of one round, until its
 * parent disconnects.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The child's next message. @throws when the child ends instead */
export async function nextMessage(child: ChildProcess, name: string): Promise<unknown> {
  // Removes the listener that was not needed.
  const answered = new AbortController();
  const { signal } = answered;
  const message = once(child, 'message', { signal });
  const gone = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`${name}: its process ended with ${code}`);
  });
  message.catch(() => {});
  gone.catch(() => {});
  try {
    const [value] = await Promise.race([message, gone]);
    return value;
  } finally {
    answered.abort();
  }
}

/** The answer of a child that serves rounds. */
export function ask(child: ChildProcess, name: string, message: object | string): Promise<unknown> {
  child.send(message);
  return nextMessage(child, name);
}

export interface Fork {
  readonly name: string;
  /** A URL, or the path of a script. */
  readonly script: URL | string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Starts one child a case, one after the other, since verifying several at once would only make them wait for each
 * other. Ends them when `work` is done.
 */
export async function withForks<T>(
  forks: readonly Fork[],
  work: (ask: (name: string, message: object | string) => Promise<unknown>) => Promise<T>,
): Promise<T> {
  const children = new Map<string, ChildProcess>();
  try {
    for (const { name, script, args = [], env = {} } of forks) {
      const path = script instanceof URL ? fileURLToPath(script) : script;
      const child = fork(path, [...args], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.set(name, child);
      await nextMessage(child, name);
    }
    return await work((name, message) => ask(children.get(name)!, name, message));
  } finally {
    const ended = [...children.values()].map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      if (child.connected) child.disconnect();
      await exited;
    });
    await Promise.all(ended);
  }
}

/** In a child: answers each message. @param close runs before the child exits */
export function serveRounds<Order>(round: (order: Order) => unknown, close?: () => Promise<void>): void {
  process.once('disconnect', async () => {
    await close?.();
    process.exit(0);
  });
  process.on('message', async (order: Order) => {
    process.send!(await round(order));
  });
  process.send!('ready');
}
