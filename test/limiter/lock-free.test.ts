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
    // One wrap is 2^31 ticks of 1 µs, a little less than 36 minutes.
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
      // Charges at twice the rate for as long as 4,000 tokens take, after the burst is used if that is feasible.
      const usesBurst = burst <= 20_000;
      for (let k = 0; usesBurst && k < burst; k++) assert.equal(take('a', 1e6), ADMITTED);
      let admitted = 0;
      for (let k = 1; k <= 8000; k++) if (take('a', 1e6 + (k * 500) / rate) === ADMITTED) admitted++;
      if (usesBurst) assert.ok(admitted <= 4000 && admitted >= 3920, `${admitted} of 4000`);
      else assert.equal(admitted, 8000);
    });
  }
});

describe('a token clock', () => {
  it('has whole half ticks per token and per burst, and a horizon beyond the time that fills the burst', () => {
    for (const rate of [0.001, 0.3, 1, 7, 1000, 10_000, 1e6, 1e9]) {
      for (const burst of [1, 3, 1000, 1e6, 1e9]) {
        const clock = new TokenClock(rate, burst);
        assert.ok(Number.isInteger(clock.token) && clock.token % 2 === 0 && clock.token >= 2);
        assert.equal(clock.burst, burst * clock.token);
        assert.ok(clock.burst < 2 ** 31, `${rate}, ${burst}`);
        assert.ok(clock.horizonMs >= (burst / rate) * 1000, `${rate}, ${burst}: ${clock.horizonMs}`);
      }
    }
  });
});
