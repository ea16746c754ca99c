import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommitCost } from '../../src/writer/commit-cost.ts';

const FIXED_MS = 10;
const MS_PER_BYTE = 50 / 2 ** 20;
const msOf = (bytes: number): number => FIXED_MS + MS_PER_BYTE * bytes;

describe('the cost of a commit', () => {
  it('is separated from the cost of the bytes if sizes vary', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 200; n++) {
      const bytes = 10_000 + (n % 20) * 50_000;
      cost.add(bytes, msOf(bytes));
    }
    assert.ok(Math.abs(cost.fixedMs - FIXED_MS) < 0.1 * FIXED_MS, String(cost.fixedMs));
  });

  it('is all of it where bytes cost nothing', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 200; n++) cost.add(10_000 + (n % 20) * 50_000, 200 + (n % 7));
    assert.ok(cost.fixedMs > 180, String(cost.fixedMs));
  });

  it('does not rise when a disk turns slow', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 100; n++) {
      const bytes = 3_500_000 + (n % 5) * 100_000;
      cost.add(bytes, bytes / 200_000);
    }
    // Ten times slower; admission lets less and less of it in.
    for (let bytes = 3_500_000; bytes > 400_000; bytes *= 0.9) {
      cost.add(bytes, bytes / 20_000);
      assert.ok(cost.fixedMs < 10, `after ${bytes}: ${cost.fixedMs}`);
    }
  });

  it('stays zero for commits of equal size', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 200; n++) cost.add(1 << 20, msOf(1 << 20));
    assert.ok(cost.fixedMs < FIXED_MS, String(cost.fixedMs));
  });

  it('is not raised by a stall', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 500; n++) {
      const bytes = 10_000 + (n % 20) * 50_000;
      cost.add(bytes, n % 50 === 25 ? 2_000 : MS_PER_BYTE * bytes + 0.1);
      assert.ok(cost.fixedMs < 2, `after ${n}: ${cost.fixedMs}`);
    }
  });

  it('is 0, not NaN, for instant commits, and is learned afterwards', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 20; n++) cost.add(10_000 + n * 50_000, 0);
    assert.equal(cost.fixedMs, 0);
    for (let n = 0; n < 400; n++) cost.add(10_000 + (n % 20) * 50_000, msOf(10_000 + (n % 20) * 50_000));
    assert.ok(Math.abs(cost.fixedMs - FIXED_MS) < 0.2 * FIXED_MS, String(cost.fixedMs));
  });

  it('follows a disk that became faster', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 200; n++) cost.add(10_000 + (n % 20) * 50_000, msOf(10_000 + (n % 20) * 50_000));
    for (let n = 0; n < 200; n++) cost.add(10_000 + (n % 20) * 50_000, 0.5);
    assert.ok(cost.fixedMs < 1, String(cost.fixedMs));
  });

  it('measures the throughput of storage', () => {
    const cost = new CommitCost();
    for (let n = 0; n < 200; n++) cost.add(1 << 20, 10);
    assert.ok(Math.abs(cost.bytesPerMs - 2 ** 20 / 10) < 1, String(cost.bytesPerMs));
  });
});
