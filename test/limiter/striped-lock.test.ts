import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lock, unlock } from '../../src/base/futex-lock.ts';
import { ADMITTED, BUSY } from '../../src/limiter/limiter.ts';
import * as stripedLock from '../../src/limiter/striped-lock.ts';
import { LimiterTable } from '../../src/limiter/table.ts';
import { limiterContract, openTested } from './contract.ts';

limiterContract('striped locks', stripedLock);

describe('striped locks: a lock whose owner has died', () => {
  it('makes its clients busy after a bounded wait and affects no other set', () => {
    const { take, limiter, memory } = openTested(
      stripedLock,
      { requestRate: 1000, requestBurst: 1000 },
      { sets: 2, ways: 16 },
    );
    const table = new LimiterTable(memory);
    const stuck = table.lockWord(0);
    assert.equal(lock(table.i32, stuck, 0), true);
    const verdicts = new Map<number, number>();
    for (let k = 0; k < 40; k++) {
      const verdict = take(`client ${k}`, 0);
      if (verdict === BUSY) assert.equal(limiter.retryAfterSeconds, 1);
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    }
    assert.ok(verdicts.get(BUSY)! > 0);
    assert.ok(verdicts.get(ADMITTED)! > 0);
    unlock(table.i32, stuck);
    for (let k = 0; k < 30; k++) assert.equal(take(`client ${k}`, 1), ADMITTED);
  });
});
