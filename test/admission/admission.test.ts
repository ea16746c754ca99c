/** Admission over modelled, overloaded storages in virtual time: the same results on every machine. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { adaptive, type Policy, staticBounds } from '../../bench/admission/policies.ts';
import {
  type Figures,
  peakBytes,
  type Scenario,
  type Storage,
  simulate,
} from '../../bench/admission/storage-model.ts';

const TARGET_MS = 50;
const SEEDS = [1, 2, 3, 4, 5];
const STORAGES: readonly Storage[] = [
  { fixedMs: 0.2, msPerMib: 5 },
  { fixedMs: 2, msPerMib: 20 },
  { fixedMs: 1, msPerMib: 100 },
  { fixedMs: 10, msPerMib: 50 },
  { fixedMs: 200, msPerMib: 1 },
];
const nameOf = ({ fixedMs, msPerMib }: Storage): string => `${fixedMs} ms + ${msPerMib} ms/MiB`;
/** As in docs/backpressure.md: twelve fixed costs if that is more, at most twenty targets. */
const targetOf = ({ fixedMs }: Storage): number =>
  Math.min(20 * TARGET_MS, Math.max(TARGET_MS, 12 * fixedMs));

function loaded(storage: Storage, load: number, seed: number, changes: Partial<Scenario> = {}): Scenario {
  return {
    storage: () => storage,
    workers: 2,
    ringBytes: 8 << 20,
    queueTasks: 5_000,
    requestBytes: 12_000,
    arrivals: () => load * peakBytes(storage),
    durationMs: 10_000,
    measureFromMs: 2_500,
    noise: 0.15,
    seed,
    ...changes,
  };
}

function run(policy: Policy, storage: Storage, load: number, seed: number): Figures {
  return simulate(loaded(storage, load, seed), policy.open);
}

for (const storage of STORAGES) {
  describe(`admission to a storage of ${nameOf(storage)}`, () => {
    for (const load of [1.5, 3, 10]) {
      it(`keeps 80% of the peak and the delay near the target at ${load} times the peak, fairly`, () => {
        const runs = SEEDS.map((seed) => run(adaptive(TARGET_MS), storage, load, seed));
        const mean = (pick: (figures: Figures) => number): number =>
          runs.reduce((sum, figures) => sum + pick(figures), 0) / runs.length;
        const goodput = mean(({ goodputBytes }) => goodputBytes / peakBytes(storage));
        assert.ok(goodput >= 0.8, `${goodput} of the peak`);
        const p99Ms = mean((figures) => figures.p99Ms);
        assert.ok(p99Ms <= 2 * targetOf(storage), `p99 ${p99Ms} ms`);
        for (const { fairness } of runs)
          assert.ok(fairness >= 0.7, `the worst worker got ${fairness} of the mean`);
      });
    }

    it('refuses nothing at a third of the peak', () => {
      assert.equal(run(adaptive(TARGET_MS), storage, 1 / 3, 1).refused, 0);
    });
  });
}

it('the static bounds alone let requests wait for ten targets and more', () => {
  const slow = STORAGES[2]!;
  const { p99Ms } = run(staticBounds, slow, 3, 1);
  assert.ok(p99Ms > 10 * TARGET_MS, `p99 ${p99Ms} ms`);
});

it('admission follows a storage that becomes ten times slower, and back, within two seconds', () => {
  const fast = STORAGES[0]!;
  const slow: Storage = { fixedMs: 2, msPerMib: 50 };
  const at = (nowMs: number): Storage => (nowMs >= 3_000 && nowMs < 6_000 ? slow : fast);
  const changing = { storage: at, arrivals: (nowMs: number) => 3 * peakBytes(at(nowMs)) };
  const whileSlow = loaded(slow, 3, 1, { ...changing, measureFromMs: 5_000, durationMs: 5_900 });
  // Not yet 100 ms: earlier commits are in the fit. Static bounds would give most of a second.
  assert.ok(simulate(whileSlow, adaptive(TARGET_MS).open).p99Ms <= 4 * TARGET_MS);
  const afterwards = loaded(fast, 3, 1, { ...changing, measureFromMs: 8_000, durationMs: 10_000 });
  const { goodputBytes, p99Ms } = simulate(afterwards, adaptive(TARGET_MS).open);
  assert.ok(goodputBytes >= 0.8 * peakBytes(fast), String(goodputBytes / peakBytes(fast)));
  assert.ok(p99Ms <= 2 * TARGET_MS, `p99 ${p99Ms} ms`);
});
