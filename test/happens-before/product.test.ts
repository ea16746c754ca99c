/** Every algorithm of the product over shared memory, in all orders of its atomic operations, and its broken variants. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Algorithm, check, reportOf, variantsOf } from './algorithm.ts';
import { algorithms } from './algorithms.ts';

function checkAlgorithm(algorithm: Algorithm<never>): void {
  const { harmless = {}, scenarios } = algorithm;
  for (const scenario of scenarios) {
    it(`orders every access when ${scenario.name}`, async (t) => {
      const { races, failures, interleavings, executions, isExhaustive, seed } = await check(
        algorithm,
        scenario,
      );
      t.diagnostic(
        `${interleavings} interleavings, ${executions} executions${isExhaustive ? '' : `, seed ${seed}`}`,
      );
      assert.deepEqual(
        [...races, ...failures].map(({ text }) => text),
        [],
      );
    });
  }

  it('is reported if any of its operations is broken', async (t) => {
    const variants = variantsOf(algorithm);
    const silent = [];
    for (const variant of variants)
      if ((await reportOf(algorithm, variant)).report === null) silent.push(variant.name);
    t.diagnostic(`${variants.length - silent.length} of ${variants.length} broken variants are reported`);
    // Either list may not have a name that the other lacks: a reason has to stay true.
    assert.deepEqual(silent.sort(), Object.keys(harmless).sort());
  });
}

for (const algorithm of algorithms) describe(`the ${algorithm.name}`, () => checkAlgorithm(algorithm));
