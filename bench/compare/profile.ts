/**
 * Where a server's CPU time goes, thread by thread: shares by file and by function, from V8's sampling profiler.
 *
 * Native code has no frame of its own: its time counts to the JavaScript that called it, and the event loop's own work
 * (epoll, receiving, parsing HTTP) is "(program)". Threads share one core here, so a thread's time includes waits for
 * that core: compare shares, not absolutes.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { thousands } from '../report/numbers.ts';
import { markdownTable } from '../report/table.ts';
import { sharesOf, sum } from '../statistics.ts';
import { type CellOptions, measureCell, SERVER_LABELS } from './cell.ts';

const TOP_FUNCTIONS = 15;
const MIN_SHARE = 0.005;
/** Regular expressions are functions here, and named by their text. */
const MAX_NAME = 40;
const PROJECT_FILE = /\/dist\/(?:src|bench)\/(.*)\.js$/;

interface Frame {
  readonly functionName: string;
  readonly url: string;
  /** From 0. */
  readonly lineNumber: number;
}

interface Stack {
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
function isIdle({ frames: [inner] }: Stack): boolean {
  if (inner === undefined) return false;
  return (
    inner.functionName === '(idle)' || /^sleep .*\/base\/bell\.js$/.test(`${inner.functionName} ${inner.url}`)
  );
}

function readStacks(path: string): Stack[] {
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
const profilesIn = (directory: string): string[] =>
  readdirSync(directory)
    .filter((file) => file.endsWith('.cpuprofile'))
    .sort()
    .map((file) => join(directory, file));

const projectFile = ({ url }: Frame): string | undefined => PROJECT_FILE.exec(url)?.[1];

/** The project's file that a stack counts to: that of the innermost frame in the project. */
function ownerOf({ frames }: Stack): string {
  for (const frame of frames) {
    const file = projectFile(frame);
    if (file !== undefined) return file;
  }
  const inner = frames[0]?.functionName ?? '';
  return inner.startsWith('(') ? inner : 'Node.js and packages';
}

function functionOf({ frames: [inner] }: Stack): string {
  if (inner === undefined) return '';
  const place = projectFile(inner) ?? inner.url.replace(/^.*\/node_modules\//, '');
  const name = (inner.functionName || '(anonymous)').slice(0, MAX_NAME).replaceAll('|', '/');
  return `${name}${place === '' ? '' : ` ${place}:${inner.lineNumber + 1}`}`;
}

function sharesTable(title: string, stacks: readonly Stack[], nameOf: (stack: Stack) => string): string {
  const counts = new Map<string, number>();
  for (const stack of stacks) counts.set(nameOf(stack), (counts.get(nameOf(stack)) ?? 0) + stack.micros);
  const shares = sharesOf(counts).filter(({ share }) => share >= MIN_SHARE);
  const rows = shares.map(({ name, share }) => [name, `${(share * 100).toFixed(1)}%`]);
  return markdownTable({ head: [title, 'share'], rows: rows.slice(0, TOP_FUNCTIONS) });
}

function threadReport(path: string): string {
  const stacks = readStacks(path).filter((stack) => !isIdle(stack));
  const busySeconds = sum(stacks.map(({ micros }) => micros)) / 1e6;
  // CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile
  const thread = basename(path).split('.').at(-3) ?? '?';
  return [
    `### Thread ${thread}${thread === '0' ? ' (main)' : ''}: busy ${busySeconds.toFixed(2)} s`,
    sharesTable('file (native calls count to their callers)', stacks, ownerOf),
    sharesTable('function, self time', stacks, functionOf),
  ].join('\n\n');
}

/** Runs one cell under the profiler. Profiles stay in `directory`. @returns the shares as Markdown */
export async function profileCell(options: CellOptions, directory: string): Promise<string> {
  const { server, workload } = options;
  const target = resolve(directory, `${server}-${workload.batch}`);
  mkdirSync(target, { recursive: true });
  const earlier = new Set(profilesIn(target));
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${target}`];
  const cell = await measureCell({ ...options, nodeArgs });
  const threads = profilesIn(target).filter((path) => !earlier.has(path));
  const title = `## ${SERVER_LABELS[server]}, ${workload.batch} a request`;
  const figures = `${thousands(cell.metricsPerCpuSecond)} thousand metrics per CPU second under the profiler`;
  return `${[title, figures, ...threads.map(threadReport)].join('\n\n')}\n`;
}
