import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lock, unlock } from '../../src/base/futex-lock.ts';
import * as globalLock from '../../src/limiter/global-lock.ts';
import { ADMITTED, BUSY } from '../../src/limiter/limiter.ts';
import { LimiterTable } from '../../src/limiter/table.ts';
import { limiterContract, openTested } from './contract.ts';

limiterContract('global lock', globalLock);

describe('global lock: a lock whose owner has died', () => {
  it('makes every client busy after a bounded wait, and no client once it is released', () => {
    const { take, limiter, memory } = openTested(globalLock, { metricRate: 10, metricBurst: 10 });
    assert.equal(take('client 0', 0), ADMITTED);
    const table = new LimiterTable(memory);
    const stuck = table.lockWord(table.sets - 1);
    assert.equal(stuck, table.lockWord(0));
    assert.equal(lock(table.i32, stuck, 0), true);
    for (let k = 0; k < 20; k++) {
      assert.equal(take(`client ${k}`, 0), BUSY);
      assert.equal(limiter.retryAfterSeconds, 1);
      assert.equal(limiter.chargeMetrics(1, 0), BUSY);
    }
    unlock(table.i32, stuck);
    for (let k = 0; k < 20; k++) {
      assert.equal(take(`client ${k}`, 0), ADMITTED);
      assert.equal(limiter.chargeMetrics(1, 0), ADMITTED);
    }
  });
});
