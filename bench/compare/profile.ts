/** Where a server's CPU time goes, thread by thread: shares by file and by function, from V8's sampling profiler. */
import { mkdirSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { thousands } from '../report/numbers.ts';
import { markdownTable } from '../report/table.ts';
import {
  type Frame,
  isIdle,
  profilesIn,
  readStacks,
  type Stack,
  sharesOf,
} from '../under-test/cpu-profile.ts';
import { type CellOptions, measureCell, SERVER_LABELS } from './cell.ts';

const TOP_FUNCTIONS = 15;
const MIN_SHARE = 0.005;
/** Regular expressions are functions here, and named by their text. */
const MAX_NAME = 40;
const PROJECT_FILE = /\/dist\/(?:src|bench)\/(.*)\.js$/;

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
  const busySeconds = stacks.reduce((sum, { micros }) => sum + micros, 0) / 1e6;
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
