/** The orders that the checker explores, and threads that wait in them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Body, checkThreads, DATA, FLAG, findings, OTHER, publish } from './litmus.ts';

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
      /^late: both count \(test\/happens-before\/schedule.test.ts:\d+\)$/,
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
    assert.match(failures[0].text, /^sleeper sleeps for ever: .+schedule.test.ts:\d+\)$/);
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
