/** The checker itself, over litmus tests whose verdict is known. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkOrdering } from '../../src/happens-before/check-ordering.ts';
import type { Layout } from '../../src/happens-before/scenario.ts';
import { type Body, checkThreads, DATA, FLAG, findings, LAYOUT, MODULE, OTHER, publish } from './litmus.ts';

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
        throw new Error('out of range');
      },
    });
    assert.deepEqual(
      failures.map(({ kind, text }) => [kind, text]),
      [['exception', 'only threw: out of range']],
    );
  });

  it('with a constant that nobody declares is refused', async () => {
    const scenario = { name: 'none', prepare: () => ({ memories: [], threads: {} }) };
    await assert.rejects(checkOrdering({ module: MODULE, scenario, constants: { CAPACITY: 2 } }), {
      message: 'no module declares the constant CAPACITY',
    });
  });

  it('that makes a finding depend on chance is refused', async () => {
    let runs = 0;
    const threads = checkThreads({
      writer: ({ i32 }) => {
        if (runs++ === 0) i32[DATA] = 1;
      },
      reader: ({ i32 }) => i32[DATA],
    });
    await assert.rejects(threads, { message: /^litmus: a finding did not repeat: the scenario depends on/ });
  });
});

describe('modules in different folders', () => {
  it('are loaded together, even if only the root is common to them', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'metricsstream-elsewhere-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const elsewhere = join(folder, 'elsewhere.js');
    writeFileSync(elsewhere, 'export const ELSEWHERE = 7;\n');
    const seen: unknown[] = [];
    const scenario = {
      name: 'two folders',
      prepare: (exports: Readonly<Record<string, unknown>>) => {
        seen.push(exports.ELSEWHERE, typeof exports.open);
        return { memories: [], threads: { only: () => 0 } };
      },
    };
    await checkOrdering({ module: [MODULE, elsewhere], scenario });
    assert.deepEqual(seen, [7, 'function']);
  });
});
