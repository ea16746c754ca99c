/**
 * Where a server's CPU time goes, from V8's sampling profiler (`--cpu-prof` covers worker threads too). Time outside
 * JavaScript has no frame of its own: what a native call takes counts to its caller, and the event loop's own
 * work (epoll, receiving, parsing HTTP) is "(program)". Threads share one core here, so a thread's time includes
 * waits for that core; shares are good, absolutes are not.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type CellOptions, measureCell, SERVER_LABELS } from './cell.ts';
import { table } from './report.ts';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** The part of a .cpuprofile file that is used: sample i ran in node `samples[i]` for `timeDeltas[i]` µs. */
interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const TOP_FUNCTIONS = 15;
/** Regular expressions are functions here, and named by their text. */
const MAX_NAME = 40;
const PROJECT_FILE = /\/dist\/(?:src|bench)\/(.*)\.js$/;

function microsecondsByNode({ samples, timeDeltas }: Profile): Map<number, number> {
  const sums = new Map<number, number>();
  for (const [index, id] of samples.entries()) sums.set(id, (sums.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  return sums;
}

function parentsOf({ nodes }: Profile): Map<number, ProfileNode> {
  const parents = new Map<number, ProfileNode>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node);
  return parents;
}

function projectFile({ callFrame }: ProfileNode): string | undefined {
  return PROJECT_FILE.exec(callFrame.url)?.[1];
}

/** The project's file that a node's time counts to: its own, or that of the nearest caller in the project. */
function ownerOf(node: ProfileNode, parents: ReadonlyMap<number, ProfileNode>): string {
  for (let at: ProfileNode | undefined = node; at !== undefined; at = parents.get(at.id)) {
    const file = projectFile(at);
    if (file !== undefined) return file;
  }
  return node.callFrame.functionName.startsWith('(') ? node.callFrame.functionName : 'Node and packages';
}

/** In epoll, or asleep on the bell: both look like time spent, and are none. */
function isIdle(node: ProfileNode): boolean {
  const { functionName } = node.callFrame;
  return functionName === '(idle)' || (functionName === 'sleep' && projectFile(node) === 'base/bell');
}

function functionOf({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  const place = PROJECT_FILE.exec(url)?.[1] ?? url.replace(/^.*\/node_modules\//, '');
  const name = (functionName || '(anonymous)').slice(0, MAX_NAME).replaceAll('|', '/');
  return `${name}${place === '' ? '' : ` ${place}:${lineNumber + 1}`}`;
}

function shares(profile: Profile, nameOf: (node: ProfileNode) => string): [string, number][] {
  const times = microsecondsByNode(profile);
  const sums = new Map<string, number>();
  let total = 0;
  for (const node of profile.nodes) {
    if (isIdle(node)) continue;
    const time = times.get(node.id) ?? 0;
    const name = nameOf(node);
    sums.set(name, (sums.get(name) ?? 0) + time);
    total += time;
  }
  return [...sums]
    .map(([name, time]): [string, number] => [name, time / total])
    .sort(([, a], [, b]) => b - a);
}

function busySeconds(profile: Profile): number {
  const times = microsecondsByNode(profile);
  const busy = profile.nodes.filter((node) => !isIdle(node));
  return busy.reduce((sum, { id }) => sum + (times.get(id) ?? 0), 0) / 1e6;
}

const MIN_SHARE = 0.005;

function rows(parts: readonly [string, number][]): string[][] {
  return parts
    .filter(([, share]) => share >= MIN_SHARE)
    .map(([name, share]) => [name, `${(share * 100).toFixed(1)}%`]);
}

function threadReport(file: string, profile: Profile): string {
  const parents = parentsOf(profile);
  // CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile
  const thread = file.split('.').at(-3) ?? '?';
  return [
    `### Thread ${thread}${thread === '0' ? ' (main)' : ''}: busy ${busySeconds(profile).toFixed(2)} s`,
    table(
      ['file (native calls count to their callers)', 'share'],
      rows(shares(profile, (node) => ownerOf(node, parents))),
    ),
    table(['function, self time', 'share'], rows(shares(profile, functionOf)).slice(0, TOP_FUNCTIONS)),
  ].join('\n\n');
}

/** Runs one cell under the profiler and returns the shares as Markdown. Profiles stay in `directory`. */
export async function profileCell(options: CellOptions, directory: string): Promise<string> {
  const name = `${options.server}-${options.workload.batch}`;
  const target = resolve(directory, name);
  mkdirSync(target, { recursive: true });
  const earlier = new Set(readdirSync(target));
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${target}`];
  const cell = await measureCell({ ...options, nodeArgs });
  const files = readdirSync(target).filter((file) => file.endsWith('.cpuprofile') && !earlier.has(file));
  const threads = files
    .sort()
    .map((file) => threadReport(file, JSON.parse(readFileSync(join(target, file), 'utf8')) as Profile));
  const title = `## ${SERVER_LABELS[options.server]}, ${options.workload.batch} a request`;
  const figures = `${(cell.metricsPerCpuSecond / 1e3).toFixed(1)} thousand metrics per CPU second under the profiler`;
  return `${[title, figures, ...threads].join('\n\n')}\n`;
}
