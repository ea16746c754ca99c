/**
 * Runs compiled code under every interleaving of a few threads, one access to shared memory at a time.
 *
 * The methods of a class become generators that pause before each access to `i32`, `f64` or Atomics. A scheduler then
 * decides which thread continues. Two states are the same if the memory is, and each thread has read the same values;
 * each state is explored once. The memory model is sequential consistency: reordered plain accesses are not covered.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** Receives each value that a thread reads. */
type Recorder = (value: number) => number;

/** Compiled source whose class methods `names` pause before each shared access. */
function interruptible(source: string, names: readonly string[]): string {
  const alternatives = names.join('|');
  let text = source
    .replace(new RegExp(`^ {4}(${alternatives})\\(`, 'gm'), '    *$1(')
    .replaceAll(/\b((?:this\.)?(?:i32|f64)\[[^\]]+\]) = ([^;]+);/g, '(yield, §$1 = $2§);')
    .replaceAll(/(?<!§)\b((?:this\.)?(?:i32|f64)\[[^\]]+\])(?! = )/g, '(yield, record($1))')
    .replaceAll('§', '');
  text = wrapCalls(text, new RegExp(`\\bthis\\.(?:${alternatives})\\(`, 'g'), (call) => `(yield* ${call})`);
  return wrapCalls(text, /\bAtomics\.\w+\(/g, (call) => `(yield, record(${call}))`);
}

/** Replaces each call that starts with `start`, up to its closing parenthesis. */
function wrapCalls(text: string, start: RegExp, wrap: (call: string) => string): string {
  let out = '';
  let at = 0;
  for (const match of text.matchAll(start)) {
    if (match.index < at) continue;
    let end = match.index + match[0].length;
    for (let depth = 1; depth > 0; end++) {
      if (text[end] === '(') depth++;
      if (text[end] === ')') depth--;
    }
    const open = match.index + match[0].length;
    const inner = wrapCalls(text.slice(open, end - 1), start, wrap);
    out += text.slice(at, match.index) + wrap(`${match[0]}${inner})`);
    at = end;
  }
  return out + text.slice(at);
}

/** Imports a compiled module, after `change`, with interruptible methods. */
export async function importInterruptible(
  path: string,
  names: readonly string[],
  change: (source: string) => string,
): Promise<{ module: Record<string, unknown>; onRead: (recorder: Recorder) => void }> {
  const key = `recorder ${imports++} of ${path}`;
  const hooks = globalThis as unknown as Record<string, Recorder>;
  hooks[key] = (value) => value;
  const folder = pathToFileURL(path);
  const code = interruptible(change(readFileSync(path, 'utf8')), names)
    .replaceAll(/from '(\.[^']+)'/g, (_, specifier: string) => `from '${new URL(specifier, folder).href}'`)
    .replaceAll('//# sourceMappingURL', '//');
  const prelude = `const record = (value) => globalThis[${JSON.stringify(key)}](value);\n`;
  const module = (await import(`data:text/javascript,${encodeURIComponent(prelude + code)}`)) as Record<
    string,
    unknown
  >;
  return {
    module,
    onRead: (recorder) => {
      hooks[key] = recorder;
    },
  };
}

let imports = 0;

export interface Run {
  /** The threads, each paused before its first access. */
  readonly threads: readonly Generator<unknown, unknown>[];
  /** The whole shared memory. */
  readonly memory: Int32Array;
  /** Throws if the memory violates an invariant, after each step. */
  check(): void;
  /** Throws if the results are wrong, after all threads have ended. */
  checkEnd(results: readonly unknown[]): void;
}

interface Explored {
  readonly states: number;
  readonly ends: number;
}

/** Explores every interleaving of the threads that `start` creates. Throws on the first violation, with its schedule. */
export function explore(start: () => Run, onRead: (recorder: Recorder) => void, stepsMax: number): Explored {
  const visited = new Set<string>();
  const pending: number[][] = [[]];
  let ends = 0;
  while (pending.length > 0) {
    const schedule = pending.pop()!;
    const run = start();
    const histories = run.threads.map(() => '');
    const results = run.threads.map((): unknown => undefined);
    const ended = run.threads.map(() => false);
    const step = (thread: number): void => {
      onRead((value) => {
        histories[thread] += `${value},`;
        return value;
      });
      // A step without a read changes the thread's position, too.
      histories[thread] += ';';
      const { done, value } = run.threads[thread]!.next();
      if (done) {
        ended[thread] = true;
        results[thread] = value;
        histories[thread] += '.';
      }
    };
    try {
      for (const thread of schedule) step(thread);
      for (;;) {
        run.check();
        const state = `${run.memory.join()}|${histories.join('|')}`;
        if (visited.has(state)) break;
        visited.add(state);
        const runnable = [...ended.keys()].filter((thread) => !ended[thread]);
        if (runnable.length === 0) {
          run.checkEnd(results);
          ends++;
          break;
        }
        if (schedule.length > stepsMax) throw new Error(`no end after ${stepsMax} steps`);
        for (const thread of runnable.slice(1)) pending.push([...schedule, thread]);
        schedule.push(runnable[0]!);
        step(runnable[0]!);
      }
    } catch (error) {
      throw new Error(`schedule ${schedule.join('')}`, { cause: error });
    }
  }
  return { states: visited.size, ends };
}
