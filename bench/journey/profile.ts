/**
 * Where a phase's CPU time goes: `perf` samples of the whole process under load, each classified by its stack. perf sees
 * the kernel, V8 and JavaScript functions, interpreted ones included, through the map that `--perf-basic-prof` makes
 * Node.js write.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sharesOf } from '../statistics.ts';
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

/** Samples by class of work, and by the innermost function. */
class Samples {
  total = 0;
  profiler = 0;
  private readonly classes = new Map<string, number>();
  private readonly functions = new Map<string, number>();
  private readonly threads: boolean;

  constructor(threads: boolean) {
    this.threads = threads;
  }

  add(frames: readonly string[]): void {
    const name = classify(frames, this.threads);
    if (name === PROFILER) {
      this.profiler++;
      return;
    }
    this.total++;
    this.classes.set(name, (this.classes.get(name) ?? 0) + 1);
    const inner = shortName(frames[0]!);
    this.functions.set(inner, (this.functions.get(inner) ?? 0) + 1);
  }

  shares(): ProfileShare[] {
    return sharesOf(this.classes).filter(({ share }) => share >= MIN_SHARE);
  }

  topFunctions(): ProfileShare[] {
    return sharesOf(this.functions).slice(0, TOP_FUNCTIONS);
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

async function profileIn(options: Options, directory: string): Promise<Profile> {
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
    const { phase, load, batch } = options;
    return {
      ...{ phase, tool: 'perf', clients: load.clients, batch, samples: samples.total },
      shares: samples.shares(),
      functions: samples.topFunctions(),
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

/** Profiles one variant under load. */
export async function profileVariant(options: Options): Promise<Profile> {
  mkdirSync(options.scratch, { recursive: true });
  const directory = mkdtempSync(join(options.scratch, 'profile-'));
  try {
    return await profileIn(options, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
