import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AdaptiveLimit, INITIAL_BYTES, LEAST_BYTES } from '../../src/admission/adaptive-limit.ts';

const TARGET_MS = 50;
const MOST_BYTES = 8 << 20;
const NO_FIXED_COST = 0;
/** Neutral; tests of the share pass an extreme one. */
const SHARE_BYTES_PER_MS = INITIAL_BYTES / TARGET_MS;

function limitAfter(delayMs: number, depthBytes: number, fixedMs = NO_FIXED_COST): AdaptiveLimit {
  const limit = new AdaptiveLimit(TARGET_MS, MOST_BYTES);
  limit.measured(delayMs, depthBytes, fixedMs, SHARE_BYTES_PER_MS, 0);
  return limit;
}

describe('the adaptive limit', () => {
  it('refuses nothing while there is no evidence of load', () => {
    const limit = limitAfter(TARGET_MS / 4, INITIAL_BYTES);
    assert.ok(limit.admits(MOST_BYTES, 0, 1));
  });

  it('falls with a delay above the target, and refuses requests beyond it', () => {
    const limit = limitAfter(2 * TARGET_MS, INITIAL_BYTES);
    assert.ok(limit.limitBytes < 0.6 * INITIAL_BYTES, String(limit.limitBytes));
    assert.ok(!limit.admits(INITIAL_BYTES, 0, 1));
    assert.ok(limit.admits(limit.limitBytes - 1, 0, 1));
  });

  it('grows when the depth in use took less than the target', () => {
    assert.ok(limitAfter(TARGET_MS / 2, INITIAL_BYTES).limitBytes > 1.5 * INITIAL_BYTES);
  });

  it('does not grow when it was not in use', () => {
    assert.equal(limitAfter(TARGET_MS / 2, INITIAL_BYTES / 4).limitBytes, INITIAL_BYTES);
  });

  it('grows to the static bound and not past it', () => {
    const limit = new AdaptiveLimit(TARGET_MS, MOST_BYTES);
    for (let n = 0; n < 50; n++)
      limit.measured(1, limit.limitBytes, NO_FIXED_COST, MOST_BYTES / TARGET_MS, n);
    assert.equal(limit.limitBytes, MOST_BYTES);
  });

  it('admits one request, however long storage takes', () => {
    const limit = new AdaptiveLimit(TARGET_MS, MOST_BYTES);
    for (let n = 0; n < 50; n++) limit.measured(60_000, limit.limitBytes, NO_FIXED_COST, 0, n);
    assert.equal(limit.limitBytes, LEAST_BYTES);
    assert.ok(limit.admits(LEAST_BYTES - 1, 60_000, 51));
  });

  it('admits a request when nothing is in flight', () => {
    const limit = new AdaptiveLimit(TARGET_MS, 0);
    limit.measured(10 * TARGET_MS, 1, NO_FIXED_COST, 0, 0);
    assert.ok(limit.admits(0, 0, 1));
  });

  it('considers a wait longer than the target before it ends', () => {
    const limit = new AdaptiveLimit(TARGET_MS, MOST_BYTES);
    assert.ok(limit.admits(0.9 * INITIAL_BYTES, TARGET_MS, 0));
    assert.ok(!limit.admits(0.9 * INITIAL_BYTES, 2 * TARGET_MS, 0));
    assert.ok(limit.admits(0.4 * INITIAL_BYTES, 2 * TARGET_MS, 0));
  });

  it('is lifted ten targets after the last evidence of load', () => {
    const limit = limitAfter(2 * TARGET_MS, INITIAL_BYTES);
    assert.ok(!limit.admits(MOST_BYTES, 0, 10 * TARGET_MS - 1));
    assert.ok(limit.admits(MOST_BYTES, 0, 10 * TARGET_MS));
  });

  it('aims at twelve fixed costs of a commit if that is more than configured, and at most at twenty targets', () => {
    assert.equal(limitAfter(1, INITIAL_BYTES, 1).targetMs, TARGET_MS);
    assert.equal(limitAfter(1, INITIAL_BYTES, 10).targetMs, 120);
    assert.equal(limitAfter(1, INITIAL_BYTES, 1_000).targetMs, 20 * TARGET_MS);
  });

  it('moves limits that drifted apart to their equal share', () => {
    const limits = [LEAST_BYTES, 4 << 20].map((bytes) => {
      const limit = new AdaptiveLimit(TARGET_MS, MOST_BYTES);
      limit.limitBytes = bytes;
      return limit;
    });
    for (let n = 0; n < 100; n++) {
      // Both see the delay of their combined bytes in flight.
      const depthBytes = limits.reduce((sum, { limitBytes }) => sum + limitBytes, 0);
      const delayMs = depthBytes / (2 * SHARE_BYTES_PER_MS);
      for (const limit of limits)
        limit.measured(delayMs, limit.limitBytes, NO_FIXED_COST, SHARE_BYTES_PER_MS, n * TARGET_MS);
    }
    const [small, large] = limits.map(({ limitBytes }) => limitBytes);
    assert.ok(large! < 1.1 * small!, `${small} and ${large}`);
  });
});
