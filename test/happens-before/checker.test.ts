/** The checker itself, over litmus tests whose verdict is known. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkOrdering } from '../../src/happens-before/check-ordering.ts';
import type { Layout, Report, Scenario, ThreadContext } from '../../src/happens-before/scenario.ts';
import type { open } from './litmus-memory.ts';

type Memory = ReturnType<typeof open>;
type Body = (memory: Memory, context: ThreadContext) => unknown;

const MODULE = fileURLToPath(new URL('./litmus-memory.js', import.meta.url));
const BYTES = 64;
const LAYOUT: Layout = [
  { name: 'DATA', byte: 0, bytes: 8 },
  { name: 'FLAG', byte: 16, bytes: 4 },
  { name: 'OTHER', byte: 32, bytes: 4 },
];
/** Int32 indexes. */
const DATA = 0;
const FLAG = 4;
const OTHER = 8;

interface Options {
  readonly layout?: Layout;
  readonly after?: Readonly<Record<string, readonly string[]>>;
  readonly checkEnd?: (results: Readonly<Record<string, unknown>>) => void;
  readonly timeouts?: number;
  readonly operationsMax?: number;
  readonly executionsMax?: number;
  readonly randomMax?: number;
  readonly seed?: number;
}

function checkThreads(bodies: Readonly<Record<string, Body>>, options: Options = {}): Promise<Report> {
  const { layout = LAYOUT, after = {}, checkEnd = () => {}, timeouts, operationsMax, ...limits } = options;
  const scenario: Scenario<{ open: typeof open }> = {
    name: 'litmus',
    prepare: (module) => {
      const memory = new SharedArrayBuffer(BYTES);
      const threads = Object.entries(bodies).map(
        ([name, body]) => [name, (context: ThreadContext) => body(module.open(memory), context)] as const,
      );
      return { memories: [{ memory, layout }], threads: Object.fromEntries(threads), after, checkEnd };
    },
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(operationsMax === undefined ? {} : { operationsMax }),
  };
  return checkOrdering({ module: MODULE, scenario, ...limits });
}

function findings({ races, failures }: Report): string[] {
  return [...races, ...failures].map(({ text }) => text);
}

const publish: Body = ({ atomics, i32 }) => {
  i32[DATA] = 42;
  atomics.store(i32, FLAG, 1);
};

describe('a value handed over', () => {
  it('is ordered by an atomic store and the load that reads it', async () => {
    const report = await checkThreads({
      writer: publish,
      reader: ({ atomics, i32 }, { expect }) => {
        if (atomics.load(i32, FLAG) === 1) expect(i32[DATA] === 42, 'the data is there');
      },
    });
    assert.deepEqual(findings(report), []);
    assert.ok(report.isExhaustive);
    assert.equal(report.interleavings, 2);
  });

  it('stays ordered if the reader writes plainly to the word beside the flag', async () => {
    const report = await checkThreads(
      {
        writer: publish,
        reader: ({ atomics, i32 }) => {
          // Pauses the thread, so that the plain store comes after the flag in some orders.
          atomics.load(i32, OTHER);
          i32[FLAG + 1] = 7;
          if (atomics.load(i32, FLAG) === 1) return i32[DATA];
          return i32[FLAG + 1];
        },
      },
      // At random: a systematic search merges the orders that differ in a plain store.
      { layout: [...LAYOUT, { name: 'BESIDE', byte: 20, bytes: 4 }], executionsMax: 1, randomMax: 200 },
    );
    assert.deepEqual(findings(report), []);
  });

  it('races if the store is plain, and both accesses are named', async () => {
    const { races } = await checkThreads({
      writer: ({ i32 }) => {
        i32[DATA] = 42;
        i32[FLAG] = 1; // the plain store
      },
      reader: ({ atomics, i32 }) => {
        atomics.load(i32, FLAG); // the load
      },
    });
    const [race] = races;
    assert.ok(race !== undefined);
    const lines = readFileSync('test/happens-before/checker.test.ts', 'utf8').split('\n');
    const lineOf = (comment: string) => 1 + lines.findIndex((line) => line.endsWith(`// the ${comment}`));
    const place = (comment: string) => ({
      file: 'test/happens-before/checker.test.ts',
      line: lineOf(comment),
    });
    const sides = [race.first, race.second].sort((a, b) => a.thread.localeCompare(b.thread));
    assert.deepEqual(sides, [
      { thread: 'reader', verb: 'reads', how: 'Atomics.load', word: 'FLAG', place: place('load') },
      { thread: 'writer', verb: 'writes', how: 'plain store', word: 'FLAG', place: place('plain store') },
    ]);
    assert.match(race.text, /^two threads, nothing orders them:\n.+\n.+$/);
  });

  it('races if the reader does not look at the flag', async () => {
    const { races } = await checkThreads({
      writer: publish,
      reader: ({ atomics, i32 }) => {
        atomics.load(i32, OTHER);
        return i32[DATA];
      },
    });
    assert.equal(races[0]?.first.word, 'DATA');
  });

  it('races if it is written after it was published', async () => {
    const { races } = await checkThreads({
      writer: ({ atomics, i32 }) => {
        atomics.store(i32, FLAG, 1);
        i32[DATA] = 42;
      },
      reader: ({ atomics, i32 }) => (atomics.load(i32, FLAG) === 1 ? i32[DATA] : 0),
    });
    assert.equal(races[0]?.first.word, 'DATA');
  });

  it('is ordered over a third thread, and over an add by it, but not over its store', async () => {
    const middle = (operation: 'add' | 'store'): Readonly<Record<string, Body>> => ({
      writer: publish,
      // A store replaces the value that the writer released; an add continues it.
      middle: ({ atomics, i32 }) => atomics[operation](i32, FLAG, 2),
      reader: ({ atomics, i32 }) => (atomics.load(i32, FLAG) >= 2 ? i32[DATA] : 0),
    });
    const reads = (flag: number): Body => {
      return ({ atomics, i32 }) => (atomics.load(i32, FLAG) === flag ? i32[DATA] : 0);
    };
    const byAdd = await checkThreads({ ...middle('add'), reader: reads(3) });
    assert.deepEqual(findings(byAdd), []);
    const byStore = await checkThreads({ ...middle('store'), reader: reads(2) });
    assert.equal(byStore.races[0]?.first.word, 'DATA');
  });

  it('is ordered by the end of one thread and the start of another', async () => {
    const bodies: Readonly<Record<string, Body>> = {
      first: ({ i32 }) => {
        i32[DATA] = 1;
      },
      second: ({ i32 }, { expect }) => expect(i32[DATA] === 1, 'the first thread has written'),
    };
    assert.deepEqual(findings(await checkThreads(bodies, { after: { second: ['first'] } })), []);
    assert.equal((await checkThreads(bodies)).races.length, 1);
  });
});

describe('accesses through different views', () => {
  const aliases: Readonly<Record<string, readonly [Body, Body, boolean]>> = {
    'a byte and the word around it': [
      ({ u8 }) => {
        u8[2] = 1;
      },
      ({ i32 }) => i32[0],
      true,
    ],
    'two bytes of one word': [
      ({ u8 }) => {
        u8[2] = 1;
      },
      ({ u8 }) => u8[3],
      false,
    ],
    'a half word and a byte in it': [
      ({ i16 }) => {
        i16[1] = 1;
      },
      ({ u8 }) => u8[3],
      true,
    ],
    'a half word and a byte beside it': [
      ({ i16 }) => {
        i16[1] = 1;
      },
      ({ u8 }) => u8[1],
      false,
    ],
    'a double and its second half': [
      ({ f64 }) => {
        f64[0] = 1;
      },
      ({ u32 }) => u32[1],
      true,
    ],
    'a double and the word behind it': [
      ({ f64 }) => {
        f64[0] = 1;
      },
      ({ u32 }) => u32[2],
      false,
    ],
    'a BigInt and a byte in it': [
      ({ i64 }) => {
        i64[0] = 1n;
      },
      ({ u8 }) => u8[7],
      true,
    ],
    'a DataView and a word': [({ view }) => view.setUint16(6, 1), ({ i32 }) => i32[1], true],
    'a DataView and the word before': [({ view }) => view.setUint16(6, 1), ({ i32 }) => i32[0], false],
    'a text in a buffer and a byte': [({ buffer }) => buffer.write('abc', 1), ({ u8 }) => u8[3], true],
    'a text in a buffer and the byte behind': [
      ({ buffer }) => buffer.write('abc', 1),
      ({ u8 }) => u8[4],
      false,
    ],
    'a text read and a byte': [
      ({ buffer }) => buffer.toString('latin1', 2, 5),
      ({ u8 }) => {
        u8[4] = 1;
      },
      true,
    ],
    'a filled range and a byte': [({ u8 }) => u8.fill(7, 3, 9), ({ u8 }) => u8[8], true],
    'a filled range and the byte behind': [({ u8 }) => u8.fill(7, 3, 9), ({ u8 }) => u8[9], false],
    'a range set and a byte': [({ u8 }) => u8.set([1, 2], 5), ({ u8 }) => u8[6], true],
    'a part of a view and a word': [({ u8 }) => u8.subarray(4, 8).fill(1), ({ i32 }) => i32[1], true],
    'a copied part and a byte': [
      ({ u8 }) => u8.slice(4, 8),
      ({ u8 }) => {
        u8[7] = 1;
      },
      true,
    ],
    'atomics of one size': [
      ({ atomics, i32 }) => atomics.store(i32, 0, 1),
      ({ atomics, u32 }) => atomics.load(u32, 0),
      false,
    ],
    'atomics of different sizes': [
      ({ atomics, i32 }) => atomics.store(i32, 0, 1),
      ({ atomics, i16 }) => atomics.load(i16, 0),
      true,
    ],
    'two plain loads': [({ i32 }) => i32[0], ({ i32 }) => i32[0], false],
  };
  for (const [name, [left, right, race]] of Object.entries(aliases)) {
    it(`${race ? 'race' : 'do not race'}: ${name}`, async () => {
      const { races, failures } = await checkThreads({ left, right }, { layout: [] });
      assert.deepEqual(failures, []);
      assert.equal(races.length, race ? 1 : 0);
    });
  }
});

describe('the orders explored', () => {
  it('are all that two threads can show, and none that Atomics forbid', async () => {
    const seen = new Set<string>();
    const { isExhaustive } = await checkThreads(
      {
        left: ({ atomics, i32 }) => {
          atomics.store(i32, FLAG, 1);
          return atomics.load(i32, OTHER);
        },
        right: ({ atomics, i32 }) => {
          atomics.store(i32, OTHER, 1);
          return atomics.load(i32, FLAG);
        },
      },
      { checkEnd: ({ left, right }) => seen.add(`${left}${right}`) },
    );
    assert.ok(isExhaustive);
    assert.deepEqual([...seen].sort(), ['01', '10', '11']);
  });

  it('are few if operations do not depend on each other', async () => {
    const three = (index: number): Body => {
      return ({ atomics, i32 }) => {
        for (let k = 0; k < 3; k++) atomics.add(i32, index, 1);
      };
    };
    const independent = await checkThreads({ left: three(FLAG), right: three(OTHER) });
    const dependent = await checkThreads({ left: three(FLAG), right: three(FLAG) });
    assert.ok(independent.isExhaustive && dependent.isExhaustive);
    // 6! / (3! 3!) orders of all, one of which suffices if no thread sees the other.
    assert.ok(independent.interleavings <= 4, `${independent.interleavings}`);
    assert.ok(dependent.interleavings > 10 && dependent.interleavings <= 20, `${dependent.interleavings}`);
  });

  it('include the lost update of a load and a store in two steps', async () => {
    const increment: Body = ({ atomics, i32 }) => {
      atomics.store(i32, FLAG, atomics.load(i32, FLAG) + 1);
    };
    const late: Body = ({ atomics, i32 }, { expect }) => expect(atomics.load(i32, FLAG) === 2, 'both count');
    const report = await checkThreads({ a: increment, b: increment, late }, { after: { late: ['a', 'b'] } });
    assert.deepEqual(
      report.failures.map(({ kind }) => kind),
      ['invariant'],
    );
    assert.match(
      report.failures[0]!.text,
      /^late: both count \(test\/happens-before\/checker.test.ts:\d+\)$/,
    );
  });

  it('continue at random beyond the limit, and the seed repeats them', async () => {
    const seen: string[] = [];
    const adds: Body = ({ atomics, i32 }) =>
      Array.from({ length: 6 }, () => atomics.add(i32, FLAG, 1)).join();
    const run = async (seed: number) => {
      seen.length = 0;
      const checkEnd = ({ a }: Readonly<Record<string, unknown>>) => seen.push(String(a));
      const options = { executionsMax: 1, randomMax: 20, seed, checkEnd };
      const { isExhaustive, interleavings } = await checkThreads({ a: adds, b: adds, c: adds }, options);
      assert.equal(isExhaustive, false);
      assert.equal(interleavings, 21);
      return [...seen];
    };
    const first = await run(7);
    assert.deepEqual(await run(7), first);
    assert.notDeepEqual(await run(8), first);
    assert.ok(new Set(first).size > 10);
  });
});

describe('a thread that waits', () => {
  const sleep: Body = ({ atomics, i32 }) => {
    while (atomics.load(i32, FLAG) === 0) atomics.wait(i32, FLAG, 0);
    return i32[DATA];
  };

  it('is woken', async () => {
    const report = await checkThreads({
      sleeper: sleep,
      waker: (memory, context) => {
        publish(memory, context);
        memory.atomics.notify(memory.i32, FLAG);
      },
    });
    assert.deepEqual(findings(report), []);
  });

  it('is reported if nobody wakes it', async () => {
    const { failures } = await checkThreads({ sleeper: sleep, waker: publish });
    assert.equal(failures[0]?.kind, 'asleep');
    assert.match(failures[0].text, /^sleeper sleeps for ever: .+checker.test.ts:\d+\)$/);
  });

  it('is reported if it loops instead', async () => {
    const report = await checkThreads(
      {
        spinner: ({ atomics, i32 }) => {
          while (atomics.load(i32, FLAG) === 0);
        },
        other: publish,
      },
      { operationsMax: 20 },
    );
    assert.equal(report.failures[0]?.kind, 'spinning');
  });

  it('may time out if the scenario says so, and its clock advances', async () => {
    const ends = new Set<unknown>();
    const report = await checkThreads(
      {
        sleeper: ({ atomics, i32, now }) => `${atomics.wait(i32, FLAG, 0, 5)} ${now()}`,
        waker: ({ atomics, i32 }) => {
          atomics.store(i32, FLAG, 1);
          atomics.notify(i32, FLAG);
        },
      },
      { timeouts: 1, checkEnd: ({ sleeper }) => ends.add(sleeper) },
    );
    assert.deepEqual(findings(report), []);
    assert.deepEqual([...ends].sort(), ['not-equal 0', 'ok 0', 'timed-out 5']);
  });

  it('learns nothing from being woken: it has to load the word', async () => {
    const { races } = await checkThreads({
      sleeper: ({ atomics, i32 }) => (atomics.wait(i32, FLAG, 0) === 'ok' ? i32[DATA] : 0),
      waker: (memory, context) => {
        publish(memory, context);
        memory.atomics.notify(memory.i32, FLAG);
      },
    });
    assert.equal(races[0]?.first.word, 'DATA');
  });

  it('may wait asynchronously, and runs its callback in a later turn', async () => {
    const ends = new Set<unknown>();
    const report = await checkThreads(
      {
        sleeper: ({ atomics, i32 }, { turn }) => {
          let turns = 'no wait';
          const wait = atomics.waitAsync(i32, FLAG, 0);
          if (!wait.async) return turns;
          turns = 'waits';
          wait.value.then(() => {
            turns = `saw ${atomics.load(i32, FLAG)}`;
          });
          turn();
          return turns;
        },
        waker: ({ atomics, i32 }) => {
          atomics.store(i32, FLAG, 1);
          atomics.notify(i32, FLAG);
        },
      },
      { checkEnd: ({ sleeper }) => ends.add(sleeper) },
    );
    assert.deepEqual(findings(report), []);
    assert.deepEqual([...ends].sort(), ['no wait', 'saw 1']);
  });
});

describe('a layout', () => {
  const counts: Body = ({ i32 }) => {
    i32[OTHER]! += 1;
  };
  const late: Layout = [{ name: 'OTHER', byte: 32, bytes: 4, late: 'a count', lateReaders: ['main'] }];

  it('may let one thread read late', async () => {
    const main: Body = ({ i32 }) => i32[OTHER];
    assert.deepEqual(findings(await checkThreads({ worker: counts, main }, { layout: late })), []);
    assert.equal((await checkThreads({ worker: counts, other: main }, { layout: late })).races.length, 1);
  });

  it('does not let two threads write', async () => {
    assert.equal((await checkThreads({ worker: counts, main: counts }, { layout: late })).races.length, 1);
  });

  it('may let all accesses be unordered, which are then interleaved one by one', async () => {
    const seen = new Set<unknown>();
    const layout: Layout = [{ name: 'OTHER', byte: 32, bytes: 4, unordered: 'a hint' }];
    const end: Body = ({ i32 }) => i32[OTHER];
    const report = await checkThreads(
      { a: counts, b: counts, end },
      { layout, after: { end: ['a', 'b'] }, checkEnd: (results) => seen.add(results.end) },
    );
    assert.deepEqual(findings(report), []);
    assert.deepEqual([...seen].sort(), [1, 2]);
  });
});

describe('a mistake in a scenario', () => {
  it('is an exception of its thread', async () => {
    const { failures } = await checkThreads({
      only: () => {
        throw new Error('no such way');
      },
    });
    assert.deepEqual(
      failures.map(({ kind, text }) => [kind, text]),
      [['exception', 'only threw: no such way']],
    );
  });

  it('with a constant that nobody declares is refused', async () => {
    const scenario = { name: 'none', prepare: () => ({ memories: [], threads: {} }) };
    await assert.rejects(checkOrdering({ module: MODULE, scenario, constants: { CAPACITY: 2 } }), {
      message: 'no module declares the constant CAPACITY',
    });
  });
});
