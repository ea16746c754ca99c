import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Turn } from '../../src/http/turn.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Blocks this thread until both clocks have moved. */
function waitForClocks(): void {
  const startMs = Date.now();
  while (Date.now() - startMs < 2);
}

describe('a turn', () => {
  it('ends once however often it is opened, and can be opened again', async () => {
    let ends = 0;
    const turn = new Turn(() => ends++);
    turn.open();
    turn.open();
    assert.ok(turn.isOpen);
    await nextTurn();
    assert.equal(ends, 1);
    assert.ok(!turn.isOpen);
    turn.open();
    await nextTurn();
    assert.equal(ends, 2);
  });

  it('has one time on both clocks while it is open', () => {
    const turn = new Turn(() => {});
    const [startMs, unixMs] = [turn.nowMs(), turn.unixMs()];
    turn.open();
    waitForClocks();
    assert.deepEqual([turn.nowMs(), turn.unixMs()], [startMs, unixMs]);
  });

  it('gives the receipt time of this turn, also when another request opened it', async () => {
    const turn = new Turn(() => {});
    const earlierMs = turn.unixMs();
    turn.open();
    await nextTurn();
    waitForClocks();
    turn.open();
    assert.ok(turn.unixMs() > earlierMs);
  });
});
