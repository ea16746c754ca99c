/**
 * Stacks of V8's sampling profiler (`--cpu-prof`, which covers worker threads, too).
 *
 * Native code has no frame of its own: its time counts to the JavaScript that called it, and the event loop's own work
 * (epoll, receiving, parsing HTTP) is "(program)". Threads share one core here, so a thread's time includes waits for
 * that core: compare shares, not absolutes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Frame {
  readonly functionName: string;
  readonly url: string;
  /** From 0. */
  readonly lineNumber: number;
}

export interface Stack {
  /** The innermost first. */
  readonly frames: readonly Frame[];
  readonly micros: number;
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: Frame;
  readonly children?: readonly number[];
}

/** The part of a .cpuprofile file that is used: sample i ran in node `samples[i]` for `timeDeltas[i]` µs. */
interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** The idle thread and the one that sleeps on the bell take no CPU time, although they are sampled. */
export function isIdle({ frames: [inner] }: Stack): boolean {
  if (inner === undefined) return false;
  return (
    inner.functionName === '(idle)' || /^sleep .*\/base\/bell\.js$/.test(`${inner.functionName} ${inner.url}`)
  );
}

export function readStacks(path: string): Stack[] {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, 'utf8')) as CpuProfile;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)),
  );
  const micros = new Map<number, number>();
  for (const [index, id] of samples.entries()) {
    micros.set(id, (micros.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  }
  return [...micros].map(([id, time]) => {
    const frames: Frame[] = [];
    for (let node = byId.get(id); node !== undefined; node = parents.get(node.id))
      frames.push(node.callFrame);
    return { frames, micros: time };
  });
}

/** Paths of a directory's profiles, one a thread. */
export const profilesIn = (directory: string): string[] =>
  readdirSync(directory)
    .filter((file) => file.endsWith('.cpuprofile'))
    .sort()
    .map((file) => join(directory, file));

/** Shares of the whole by name, the largest first. */
export function sharesOf(counts: ReadonlyMap<string, number>): { name: string; share: number }[] {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return [...counts]
    .map(([name, count]) => ({ name, share: count / total }))
    .sort((a, b) => b.share - a.share);
}
