import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ADMITTED, LIMITED } from '../../src/limiter/limiter.ts';
import * as lockFree from '../../src/limiter/lock-free.ts';
import { TokenClock } from '../../src/limiter/token-clock.ts';
import { limiterContract, openTested } from './contract.ts';

limiterContract('lock-free', lockFree);

const HOUR_MS = 3_600_000;

describe('lock-free: time', () => {
  it('may pass the wrap of the 32-bit clock any number of times between two charges', () => {
    const { take } = openTested(lockFree, { requestRate: 10, requestBurst: 3 });
    // One wrap is 2^23 ticks of 62.5 µs, less than nine minutes.
    let nowMs = 1e9;
    for (let pauseMs = 1; pauseMs < 100 * HOUR_MS; pauseMs = pauseMs * 1.37 + 301) {
      nowMs = Math.round(nowMs + pauseMs);
      const verdicts = [take('a', nowMs), take('a', nowMs), take('a', nowMs), take('a', nowMs)];
      assert.deepEqual(verdicts, [ADMITTED, ADMITTED, ADMITTED, LIMITED], `after ${pauseMs} ms`);
    }
  });

  it('keeps the limit of a client that is charged across the wrap', () => {
    const { take } = openTested(lockFree, { requestRate: 1, requestBurst: 1 });
    let admitted = 0;
    for (let second = 0; second < 10_000; second++) {
      for (let k = 0; k < 3; k++) if (take('a', 1e9 + second * 1000 + k) === ADMITTED) admitted++;
    }
    assert.equal(admitted, 10_000);
  });

  for (const [rate, burst] of [
    [1e9, 1e9],
    [1e9, 1],
    [1e6, 1e6],
    [20_000, 1],
    [10_000, 10_000],
    [3, 7],
    [0.001, 1],
    [1, 1e9],
  ] as const) {
    it(`gives ${rate} tokens a second and a burst of ${burst} to within 2%`, () => {
      const { take } = openTested(lockFree, { requestRate: rate, requestBurst: burst });
      // Uses up the burst if that is feasible, then charges at 100 times the rate.
      const usesBurst = burst <= 20_000;
      for (let k = 0; usesBurst && k < burst; k++) assert.equal(take('a', 1e6), ADMITTED);
      let admitted = 0;
      for (let k = 1; k <= 100_000; k++) if (take('a', 1e6 + (k * 10) / rate) === ADMITTED) admitted++;
      if (usesBurst) assert.ok(admitted <= 1000 && admitted >= 980, `${admitted} of 1000`);
      else assert.equal(admitted, 100_000);
    });
  }
});

describe('a token clock', () => {
  it('has whole ticks per token, room for the burst, and a horizon beyond the time that fills it', () => {
    for (const rate of [0.001, 0.3, 1, 7, 1000, 10_000, 1e6, 1e9]) {
      for (const burst of [1, 3, 1000, 1e6, 1e9]) {
        const clock = new TokenClock(rate, burst);
        const name = `${rate}, ${burst}`;
        assert.ok(Number.isInteger(clock.token / clock.tick) && clock.token >= clock.tick, name);
        assert.equal(clock.burst, burst * clock.token);
        assert.ok(clock.burst < 2 ** 31, name);
        assert.ok(clock.horizonMs - clock.refreshMs >= (burst / rate) * 1000, name);
      }
    }
  });
});
