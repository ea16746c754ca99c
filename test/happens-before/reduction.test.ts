/** The exploration leaves orders out: it may not leave out an outcome. Compared with all orders of random programs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { checkOrdering } from '../../src/happens-before/check-ordering.ts';
import type { open } from './litmus-memory.ts';

/** An atomic operation on one of two words. Each returns the word's value before it, or 0 for a store. */
interface Step {
  readonly kind: 'load' | 'store' | 'add' | 'swapZero';
  readonly word: 0 | 1;
  readonly value: number;
}
type Program = readonly (readonly Step[])[];

const MODULE = fileURLToPath(new URL('./litmus-memory.js', import.meta.url));
/** The words are on lines of their own. */
const LINE_I32 = 16;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('load', 'store', 'add', 'swapZero'),
  word: fc.constantFrom(0, 1),
  value: fc.integer({ min: 1, max: 2 }),
});
const programs = fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 3 });

function run({ kind, word, value }: Step, words: number[]): number {
  const before = words[word]!;
  if (kind === 'store') words[word] = value;
  else if (kind === 'add') words[word]! += value;
  else if (kind === 'swapZero' && before === 0) words[word] = value;
  return kind === 'store' ? 0 : before;
}

/** The results of all threads in every order, by recursion over the next thread. */
function allOutcomes(program: Program): Set<string> {
  const outcomes = new Set<string>();
  const visit = (
    at: readonly number[],
    words: readonly number[],
    results: readonly (readonly number[])[],
  ): void => {
    let isEnd = true;
    for (const [thread, steps] of program.entries()) {
      const next = steps[at[thread]!];
      if (next === undefined) continue;
      isEnd = false;
      const after = [...words];
      const result = run(next, after);
      visit(
        at.map((position, index) => position + (index === thread ? 1 : 0)),
        after,
        results.map((list, index) => (index === thread ? [...list, result] : list)),
      );
    }
    if (isEnd) outcomes.add(JSON.stringify([results, words]));
  };
  visit(
    program.map(() => 0),
    [0, 0],
    program.map(() => []),
  );
  return outcomes;
}

function perform({ atomics, i32 }: ReturnType<typeof open>, { kind, word, value }: Step): number {
  const index = word * LINE_I32;
  if (kind === 'load') return atomics.load(i32, index);
  if (kind === 'add') return atomics.add(i32, index, value);
  if (kind === 'swapZero') return atomics.compareExchange(i32, index, 0, value);
  atomics.store(i32, index, value);
  return 0;
}

async function exploredOutcomes(program: Program): Promise<Set<string>> {
  const outcomes = new Set<string>();
  const scenario = {
    name: 'a random program',
    prepare: ({ open: openMemory }: { readonly open: typeof open }) => {
      const memory = new SharedArrayBuffer(2 * LINE_I32 * Int32Array.BYTES_PER_ELEMENT);
      const names = program.map((_, thread) => `thread ${thread}`);
      const bodies = program.map((steps) => () => {
        const views = openMemory(memory);
        return steps.map((next) => perform(views, next));
      });
      return {
        memories: [{ memory, layout: [] }],
        threads: Object.fromEntries(names.map((name, thread) => [name, bodies[thread]!])),
        checkEnd: (results: Readonly<Record<string, unknown>>) => {
          const words = new Int32Array(memory);
          outcomes.add(JSON.stringify([names.map((name) => results[name]), [words[0], words[LINE_I32]]]));
        },
      };
    },
  };
  const { isExhaustive, races, failures } = await checkOrdering({ module: MODULE, scenario });
  assert.deepEqual([races, failures, isExhaustive], [[], [], true]);
  return outcomes;
}

test('the exploration finds every outcome of a program', async () => {
  await fc.assert(
    fc.asyncProperty(programs, async (program) => {
      assert.deepEqual([...(await exploredOutcomes(program))].sort(), [...allOutcomes(program)].sort());
    }),
    { numRuns: 60 },
  );
});
