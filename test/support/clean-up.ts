/**
 * Clean-ups of a test, last registered first: a server ends before its directory is removed. Node's own `after` runs
 * them in the order of registration, and skips the rest when one throws.
 */
import { after } from 'node:test';

/** A test context, a suite, or anything else that runs clean-ups at its end. */
export interface Owner {
  after(cleanup: () => unknown): void;
}

type Cleanup = () => unknown;

const stacks = new WeakMap<Owner, Cleanup[]>();

async function runAll(stack: Cleanup[]): Promise<void> {
  const errors: unknown[] = [];
  for (let cleanup = stack.pop(); cleanup !== undefined; cleanup = stack.pop()) {
    try {
      await cleanup();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** Runs `cleanup` when `owner` ends, before all clean-ups registered earlier through this function. */
export function onEnd(owner: Owner, cleanup: Cleanup): void {
  let stack = stacks.get(owner);
  if (stack === undefined) {
    const created: Cleanup[] = [];
    stack = created;
    stacks.set(owner, created);
    owner.after(() => runAll(created));
  }
  stack.push(cleanup);
}

/** Call it in `describe`: its clean-ups run when the suite ends. An `after` called in a hook runs when that hook ends. */
export function suiteOwner(): Owner {
  const cleanups: Cleanup[] = [];
  after(() => runAll(cleanups));
  return { after: (cleanup) => void cleanups.push(cleanup) };
}
