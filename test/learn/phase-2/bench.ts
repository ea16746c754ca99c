/** Twenty requests at a time, stored and synced: each by its own commit, and all by one. */
import assert from 'node:assert/strict';
import type { BenchModule, Side } from '../../../src/learn/bench-module.ts';
import { groupCommit, line, synchronous, WriterRig } from '../../support/writer-rig.ts';

const REQUESTS = 20;

function measureCommits(side: Side, ms: number): number {
  const rig = new WriterRig({ tested: side === 'before' ? synchronous : groupCommit });
  try {
    const start = performance.now();
    let requests = 0;
    while (performance.now() - start < ms) {
      for (let id = 0; id < REQUESTS; id++) rig.put(line(id));
      rig.turn();
      requests += REQUESTS;
    }
    const us = ((performance.now() - start) * 1e3) / requests;
    assert.equal(rig.storedText().split('\n').length - 1, requests, 'every line is stored');
    return us;
  } finally {
    rig.remove();
  }
}

export const bench: BenchModule['bench'] = {
  unit: 'µs a request',
  question:
    'twenty requests wait, and each is written and synced by itself. With one sync for all: how many µs a request?',
  rows: [{ name: '20 waiting requests', measure: (side, ms) => measureCommits(side, ms) }],
};
