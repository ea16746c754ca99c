/** The breaker's rules with a clock of the test, and random events compared with a model that keeps all outcomes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  BACKGROUND,
  Breaker,
  type BreakerConfig,
  CLOSED,
  COMMITS_MIN,
  createBreakerMemory,
  FOREGROUND,
  HALF_OPEN,
  OPEN,
  PERMIT_PERIOD_MS,
  PERMITS,
  readBreaker,
  type Transition,
} from '../../src/breaker/breaker.ts';
import { StallWatch } from '../../src/breaker/stall-watch.ts';
import { BreakerModel } from './breaker-model.ts';

const CONFIG: BreakerConfig = { failures: 5, errorPercent: 50, windowMs: 10_000, openMs: 1_000 };

interface Rig {
  readonly memory: SharedArrayBuffer;
  readonly breaker: Breaker;
  readonly transitions: Transition[];
  fail(nowMs: number, times?: number): void;
  succeed(nowMs: number, times?: number): void;
}

function rigOf(config: Partial<BreakerConfig> = {}): Rig {
  const memory = createBreakerMemory({ ...CONFIG, ...config });
  const breaker = new Breaker(memory);
  const transitions: Transition[] = [];
  breaker.onTransition = (transition) => transitions.push(transition);
  return {
    memory,
    breaker,
    transitions,
    fail(nowMs, times = 1) {
      for (let k = 0; k < times; k++) breaker.failed(breaker.episode, nowMs, 'EIO');
    },
    succeed(nowMs, times = 1) {
      for (let k = 0; k < times; k++) breaker.succeeded(breaker.episode, nowMs);
    },
  };
}

/** Opens the breaker at `nowMs`, and half-opens it a second later. */
function halfOpen(rig: Rig, nowMs: number): void {
  rig.breaker.trip('a test', nowMs);
  assert.ok(rig.breaker.tryHalfOpen(nowMs));
}

describe('a closed breaker', () => {
  it('opens at the configured number of consecutive failures, and not before', () => {
    const rig = rigOf({ failures: 3 });
    rig.fail(0, 2);
    rig.succeed(1);
    rig.fail(2, 2);
    assert.equal(rig.breaker.state, CLOSED);
    rig.fail(3);
    assert.equal(rig.breaker.state, OPEN);
    assert.deepEqual(rig.transitions, [{ to: OPEN, reason: '3 commits in a row failed, the last: EIO' }]);
  });

  it('opens at the configured share of failures within the window, given a minimum of commits', () => {
    const rig = rigOf({ failures: 1_000, errorPercent: 40 });
    for (let k = 0; k < COMMITS_MIN - 1; k++) rig.fail(k);
    assert.equal(rig.breaker.state, CLOSED);
    const even = rigOf({ failures: 1_000, errorPercent: 40 });
    // Three of ten, then four of eleven: below 40%; then five of twelve.
    even.succeed(0, 7);
    even.fail(1_000, 4);
    assert.equal(even.breaker.state, CLOSED);
    even.fail(2_000);
    assert.equal(even.breaker.state, OPEN);
    assert.deepEqual(
      even.transitions.map(({ reason }) => reason),
      ['5 of the last 12 commits failed, the last: EIO'],
    );
  });

  it('ignores failures older than the window', () => {
    const rig = rigOf({ failures: 1_000 });
    rig.fail(500, COMMITS_MIN - 1);
    rig.succeed(500);
    // The window's ten buckets now cover [1,000, 11,000).
    rig.fail(10_999);
    assert.equal(rig.breaker.state, CLOSED);
    const within = rigOf({ failures: 1_000 });
    within.fail(500, COMMITS_MIN - 1);
    within.fail(9_999);
    assert.equal(within.breaker.state, OPEN);
  });

  it('admits every request', () => {
    const { breaker } = rigOf();
    for (let k = 0; k < 1_000; k++) assert.ok(breaker.acquirePermit(k));
  });
});

describe('an open breaker', () => {
  it('admits no request, and is due once its open time has passed', () => {
    const rig = rigOf();
    rig.fail(10_000, 5);
    assert.equal(rig.breaker.acquirePermit(10_000), false);
    assert.equal(rig.breaker.isDue(10_999), false);
    assert.equal(rig.breaker.tryHalfOpen(10_999), false);
    assert.equal(rig.breaker.state, OPEN);
    assert.ok(rig.breaker.isDue(11_000));
    assert.ok(rig.breaker.tryHalfOpen(11_000));
    assert.equal(rig.breaker.state, HALF_OPEN);
    assert.equal(rig.breaker.isDue(11_000), false);
    assert.equal(rig.breaker.tryHalfOpen(11_000), false);
  });

  it('ignores the outcome of a commit that began before it opened', () => {
    const rig = rigOf();
    const { episode } = rig.breaker;
    rig.fail(0, 5);
    rig.breaker.succeeded(episode, 1);
    rig.breaker.failed(episode, 1, 'EIO');
    assert.equal(rig.breaker.state, OPEN);
    rig.breaker.tryHalfOpen(1_000);
    rig.breaker.succeeded(episode, 1_001);
    assert.equal(rig.breaker.state, HALF_OPEN);
    rig.breaker.failed(episode, 1_001, 'EIO');
    assert.equal(rig.breaker.state, HALF_OPEN);
    assert.equal(rig.transitions.length, 2);
  });

  it('stays open for another open time, not a longer one, when a probe fails', () => {
    const rig = rigOf();
    rig.fail(0, 5);
    for (let nowMs = 1_000; nowMs < 20_000; nowMs += 1_000) {
      assert.ok(rig.breaker.isDue(nowMs));
      rig.breaker.postpone(nowMs);
      assert.equal(rig.breaker.isDue(nowMs + 999), false);
    }
  });

  it('says when to check again: sooner than its open time while it waits for the end of a sync', () => {
    const rig = rigOf({ openMs: 100_000 });
    assert.equal(rig.breaker.dueInMs(0), Number.POSITIVE_INFINITY);
    rig.fail(0, 5);
    assert.equal(rig.breaker.dueInMs(0), 100);
    assert.equal(rig.breaker.dueInMs(99_990), 10);
    rig.breaker.syncBegins(FOREGROUND, 0);
    assert.equal(rig.breaker.dueInMs(200_000), 100);
  });

  it('keeps its open time when the clock passes 2^31 and 2^32 ms', () => {
    for (const startMs of [2 ** 31 - 500, 2 ** 32 - 500, 2 ** 33 + 7.25]) {
      const rig = rigOf();
      rig.fail(startMs, 5);
      assert.equal(rig.breaker.isDue(startMs + 999), false);
      assert.ok(rig.breaker.isDue(startMs + 1_000));
    }
  });
});

describe('a half-open breaker', () => {
  it('admits few requests each second, whatever their outcome', () => {
    const rig = rigOf();
    halfOpen(rig, 10_000);
    const taken = (nowMs: number) =>
      Array.from({ length: 100 }, () => rig.breaker.acquirePermit(nowMs)).filter(Boolean).length;
    assert.equal(taken(10_100), PERMITS);
    assert.equal(taken(10_999), 0);
    // None of them reached storage, so the next second has permits again.
    assert.equal(taken(10_000 + PERMIT_PERIOD_MS), PERMITS);
    // A thread with an earlier clock reading gets no further permits.
    assert.equal(taken(10_999), 0);
    assert.equal(rig.breaker.state, HALF_OPEN);
  });

  it('gives the permit of a refused request to another, in the same second', () => {
    const rig = rigOf();
    halfOpen(rig, 10_000);
    const { breaker } = rig;
    for (let k = 0; k < 100; k++) {
      assert.ok(breaker.acquirePermit(10_100));
      breaker.returnPermit(10_100);
    }
    // A permit given back without having been taken makes no further ones.
    breaker.returnPermit(10_100);
    const taken = Array.from({ length: 100 }, () => breaker.acquirePermit(10_200)).filter(Boolean);
    assert.equal(taken.length, PERMITS);
    breaker.returnPermit(10_200 + PERMIT_PERIOD_MS);
    assert.equal(breaker.acquirePermit(10_300), false);
  });

  it('closes with the first stored commit, and forgets earlier failures', () => {
    const rig = rigOf();
    rig.fail(0, 5);
    rig.breaker.tryHalfOpen(1_000);
    rig.succeed(1_001);
    assert.equal(rig.breaker.state, CLOSED);
    rig.fail(1_002, 4);
    assert.equal(rig.breaker.state, CLOSED);
    rig.fail(1_003);
    assert.equal(rig.breaker.state, OPEN);
    assert.deepEqual(
      rig.transitions.map(({ to }) => to),
      [OPEN, HALF_OPEN, CLOSED, OPEN],
    );
  });

  it('opens with the first failed commit, doubling its open time up to eight times, until it has closed', () => {
    const rig = rigOf();
    let nowMs = 0;
    rig.fail(nowMs, 5);
    for (const openMs of [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]) {
      assert.equal(rig.breaker.isDue(nowMs + openMs - 1), false, `${openMs}`);
      nowMs += openMs;
      assert.ok(rig.breaker.tryHalfOpen(nowMs));
      rig.fail(nowMs);
      assert.equal(rig.breaker.state, OPEN);
    }
    assert.equal(rig.transitions.at(-1)?.reason, 'a trial commit failed: EIO');
    nowMs += 8_000;
    rig.breaker.tryHalfOpen(nowMs);
    rig.succeed(nowMs);
    rig.fail(nowMs, 5);
    assert.ok(rig.breaker.isDue(nowMs + 1_000));
  });
});

describe('a sync that stalls', () => {
  it('opens the breaker, is counted once, and permits a trial as soon as it returns', () => {
    const rig = rigOf();
    const watch = new StallWatch(rig.breaker, 3_000);
    rig.breaker.syncBegins(FOREGROUND, 10_000);
    for (let nowMs = 10_000; nowMs < 13_000; nowMs += 100) watch.check(nowMs);
    assert.equal(rig.breaker.state, CLOSED);
    for (let nowMs = 13_000; nowMs < 20_000; nowMs += 100) {
      watch.check(nowMs);
      assert.equal(rig.breaker.state, OPEN);
      assert.equal(rig.breaker.tryHalfOpen(nowMs), false);
    }
    rig.breaker.syncEnded(FOREGROUND);
    watch.check(20_000);
    assert.ok(rig.breaker.tryHalfOpen(20_000));
    assert.deepEqual(readBreaker(rig.memory), { state: HALF_OPEN, transitions: [0, 1, 1], stalls: 1 });
    assert.equal(rig.transitions[0]?.reason, 'a sync has not returned for 3000 ms');
  });

  it('is distinguished from the next one, and from one in the background', () => {
    const rig = rigOf();
    const watch = new StallWatch(rig.breaker, 100);
    rig.breaker.syncBegins(FOREGROUND, 0);
    rig.breaker.syncBegins(BACKGROUND, 50);
    watch.check(120);
    assert.equal(readBreaker(rig.memory).stalls, 1);
    watch.check(160);
    assert.equal(readBreaker(rig.memory).stalls, 2);
    rig.breaker.syncEnded(FOREGROUND);
    assert.equal(rig.breaker.tryHalfOpen(170), false);
    rig.breaker.syncEnded(BACKGROUND);
    rig.breaker.syncBegins(FOREGROUND, 200);
    watch.check(250);
    watch.check(300);
    assert.equal(readBreaker(rig.memory).stalls, 3);
  });

  it('that returns before the next check changes nothing', () => {
    const rig = rigOf();
    rig.breaker.syncBegins(FOREGROUND, 1);
    rig.breaker.syncEnded(FOREGROUND);
    new StallWatch(rig.breaker, 100).check(10_000);
    assert.deepEqual(readBreaker(rig.memory), { state: CLOSED, transitions: [0, 0, 0], stalls: 0 });
  });
});

describe('any sequence of events', () => {
  const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  it(`leaves the breaker in the state of its model (TEST_SEED=${seed})`, () => {
    const random = randomOf(seed);
    const pick = (bound: number): number => Math.floor(random() * bound);
    for (let run = 0; run < 300; run++) {
      const config: BreakerConfig = {
        failures: 1 + pick(12),
        errorPercent: 1 + pick(100),
        windowMs: 1_000 + 10 * pick(1_000),
        openMs: 100 + pick(2_000),
      };
      const rig = rigOf(config);
      const model = new BreakerModel(config);
      const failing = random();
      const strideMs = 1 + pick(2_000);
      let nowMs = pick(5_000);
      for (let step = 0; step < 300; step++) {
        nowMs += pick(strideMs);
        const label = `run ${run}, step ${step}, ${JSON.stringify(config)}, at ${nowMs}`;
        const dice = random();
        if (dice < 0.03) {
          rig.breaker.trip('a test', nowMs);
          model.trip(nowMs);
        } else if (dice < 0.2) {
          assert.equal(rig.breaker.tryHalfOpen(nowMs), model.tryHalfOpen(nowMs), label);
        } else if (dice < 0.25) {
          rig.breaker.postpone(nowMs);
          model.postpone(nowMs);
        } else if (dice < 0.45) {
          assert.equal(rig.breaker.acquirePermit(nowMs), model.acquirePermit(nowMs), label);
        } else if (dice < 0.5) {
          rig.breaker.returnPermit(nowMs);
          model.returnPermit(nowMs);
        } else if (random() < failing) {
          rig.fail(nowMs);
          model.failed(nowMs);
        } else {
          rig.succeed(nowMs);
          model.succeeded(nowMs);
        }
        assert.equal(rig.breaker.state, model.state, label);
      }
      assert.deepEqual(readBreaker(rig.memory).transitions, model.transitions);
      assert.equal(
        rig.transitions.length,
        model.transitions.reduce((sum, count) => sum + count, 0),
      );
    }
  });
});

function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
