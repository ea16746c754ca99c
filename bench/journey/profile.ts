/**
 * Where a phase's CPU time goes: samples of the whole process under load, each counted as what it was doing.
 *
 * `perf` sees the kernel, V8 and, by the map that `--perf-basic-prof` makes Node.js write, JavaScript functions, the
 * interpreted ones included. Where perf is missing or may not be used, V8's own profiler stands in: it sees no native
 * code, so that of a thread's start only the JavaScript shows.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type CellOptions, measureCell, startsThreads } from './cell.ts';
import type { Profile, ProfileShare } from './figures.ts';
import { classify, PROFILER } from './stacks.ts';

const FREQUENCY = 999;
/** Some of the load before the first sample, some after the last. */
const MARGIN_SECONDS = 0.5;
const TOP_FUNCTIONS = 12;
const NAME_MAX = 90;
const MIN_SHARE = 0.005;

type Options = Omit<CellOptions, 'nodeArgs' | 'onMeasuredLoad'>;

/** Samples by what they were doing, and by the innermost function. */
class Samples {
  total = 0;
  profiler = 0;
  idle = 0;
  private readonly classes = new Map<string, number>();
  private readonly functions = new Map<string, number>();
  private readonly threads: boolean;

  constructor(threads: boolean) {
    this.threads = threads;
  }

  add(frames: readonly string[], count = 1): void {
    if (frames.length === 0 || count === 0) return;
    const name = classify(frames, this.threads);
    if (name === PROFILER) {
      this.profiler += count;
      return;
    }
    this.total += count;
    this.classes.set(name, (this.classes.get(name) ?? 0) + count);
    const inner = shortName(frames[0]!);
    this.functions.set(inner, (this.functions.get(inner) ?? 0) + count);
  }

  shares(): ProfileShare[] {
    return this.sorted(this.classes).filter(({ share }) => share >= MIN_SHARE);
  }

  topFunctions(): ProfileShare[] {
    return this.sorted(this.functions).slice(0, TOP_FUNCTIONS);
  }

  private sorted(counts: ReadonlyMap<string, number>): ProfileShare[] {
    return [...counts]
      .map(([name, count]) => ({ name, share: count / this.total }))
      .sort((a, b) => b.share - a.share);
  }
}

/** `JS:*parse file:///…/dist/src/parser/naive.js:199:15` becomes `parse parser/naive.js:199`. */
function shortName(frame: string): string {
  const own = /^(?:JS|Script):?.?(\S*) file:.*\/dist\/src\/(.*?)(?::\d+)?$/.exec(frame);
  return (own ? `${own[1] || '(anonymous)'} ${own[2]}` : frame).slice(0, NAME_MAX);
}

/** Lines of `perf script`: a head for each sample, then its frames as address and name, then an empty line. */
export async function readPerfScript(
  lines: AsyncIterable<string>,
  onStack: (frames: string[]) => void,
): Promise<void> {
  let frames: string[] = [];
  for await (const line of lines) {
    const frame = /^\s+[0-9a-f]+ (.+)$/.exec(line)?.[1];
    if (frame !== undefined) frames.push(frame);
    else if (frames.length > 0) {
      onStack(frames);
      frames = [];
    }
  }
  if (frames.length > 0) onStack(frames);
}

export function hasPerf(): boolean {
  try {
    execFileSync('perf', ['record', '-e', 'cpu-clock', '-o', '/dev/null', '--', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function profileByPerf(options: Options, directory: string): Promise<Profile> {
  const data = join(directory, 'perf.data');
  const seconds = options.seconds - 2 * MARGIN_SECONDS;
  let recorded: Promise<unknown> | undefined;
  let map: string | undefined;
  const onMeasuredLoad = (pid: number): void => {
    map = join(os.tmpdir(), `perf-${pid}.map`);
    recorded = record(pid, data, seconds);
  };
  try {
    const nodeArgs = [
      ...['--perf-basic-prof', '--interpreted-frames-native-stack'],
      // Or each thread leaves a log of V8's in the working directory.
      ...['--no-logfile-per-isolate', `--logfile=${join(directory, 'v8.log')}`],
    ];
    const samples = new Samples(startsThreads(options));
    const figures = await measureCell({ ...options, nodeArgs, onMeasuredLoad });
    await recorded;
    const script = spawn('perf', ['script', '-i', data, '-F', 'comm,tid,ip,sym'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await readPerfScript(createInterface({ input: script.stdout }), (frames) => samples.add(frames));
    const wanted = FREQUENCY * seconds;
    return {
      ...profileFacts(options, 'perf', samples),
      storedPerSecond: figures.storedPerSecond,
      idleShare: Math.max(0, 1 - (samples.total + samples.profiler) / wanted),
    };
  } finally {
    if (map !== undefined) rmSync(map, { force: true });
  }
}

async function record(pid: number, data: string, seconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, MARGIN_SECONDS * 1e3));
  const args = ['record', '-e', 'cpu-clock', '-F', String(FREQUENCY), '-g', '-p', String(pid), '-o', data];
  const perf = spawn('perf', [...args, '--', 'sleep', String(seconds)], { stdio: 'ignore' });
  const kill = () => perf.kill('SIGKILL');
  process.once('exit', kill);
  await once(perf, 'exit');
  process.off('exit', kill);
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const IDLE = /^\(idle\)$|^JS:sleep file:.*\/base\/bell\.js/;

function frameText({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  return url === '' ? functionName : `JS:${functionName} ${url}:${lineNumber + 1}`;
}

function addCpuProfile({ nodes, samples, timeDeltas }: CpuProfile, into: Samples): void {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)),
  );
  const micros = new Map<number, number>();
  for (const [index, id] of samples.entries()) {
    micros.set(id, (micros.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  }
  for (const [id, time] of micros) {
    const frames: string[] = [];
    for (let node = byId.get(id); node !== undefined; node = parents.get(node.id))
      frames.push(frameText(node));
    if (IDLE.test(frames[0] ?? '')) into.idle += time;
    else into.add(frames, time);
  }
}

async function profileByV8(options: Options, directory: string): Promise<Profile> {
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${directory}`];
  const figures = await measureCell({ ...options, nodeArgs });
  const samples = new Samples(startsThreads(options));
  for (const file of readdirSync(directory)) {
    addCpuProfile(JSON.parse(readFileSync(join(directory, file), 'utf8')) as CpuProfile, samples);
  }
  return {
    ...profileFacts(options, 'cpu-prof', samples),
    storedPerSecond: figures.storedPerSecond,
    idleShare: samples.idle / (samples.idle + samples.total),
  };
}

function profileFacts(options: Options, tool: Profile['tool'], samples: Samples) {
  const { phase, revert, load, batch } = options;
  return {
    phase,
    ...(revert === undefined ? {} : { revert }),
    tool,
    clients: load.clients,
    batch,
    samples: Math.round(samples.total),
    shares: samples.shares(),
    functions: samples.topFunctions(),
  };
}

/** Profiles one variant under load. @param perf whether perf can be used */
export async function profileVariant(options: Options, perf: boolean): Promise<Profile> {
  mkdirSync(options.scratch, { recursive: true });
  const directory = mkdtempSync(join(options.scratch, 'profile-'));
  try {
    return await (perf ? profileByPerf : profileByV8)(options, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
