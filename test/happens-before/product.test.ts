/** Every algorithm of the product over shared memory, in all orders of its atomic operations, and its broken variants. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Algorithm, check, reportOf, SHORT_LIMITS, variantsOf } from './algorithm.ts';
import { algorithms } from './algorithms.ts';

const page = readFileSync('docs/memory-ordering.md', 'utf8');

/** The cell of the algorithm's row that says how many variants are reported. */
function documented(name: string): string {
  const row = page.split('\n').find((line) => line.startsWith(`| ${name} |`));
  assert.ok(
    row !== undefined,
    `docs/memory-ordering.md has no row for ${name}: npm run test:ordering prints it`,
  );
  return row.split('|').at(-2)!.trim();
}

function checkAlgorithm(algorithm: Algorithm<never>): void {
  const { harmless = {}, scenarios, interleavingsMax = SHORT_LIMITS.executionsMax } = algorithm;
  const limits = { ...SHORT_LIMITS, executionsMax: interleavingsMax };
  for (const scenario of scenarios) {
    it(`orders every access when ${scenario.name}`, async (t) => {
      const { races, failures, interleavings, states, isExhaustive, seed } = await check(
        algorithm,
        scenario,
        null,
        limits,
      );
      t.diagnostic(`${interleavings} interleavings, ${states} states${isExhaustive ? '' : `, seed ${seed}`}`);
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
    assert.equal(documented(algorithm.name), `${variants.length - silent.length} of ${variants.length}`);
    t.diagnostic(`${variants.length - silent.length} of ${variants.length} broken variants are reported`);
    // Either list may not have a name that the other lacks: a reason has to stay true.
    assert.deepEqual(silent.sort(), Object.keys(harmless).sort());
  });
}

for (const algorithm of algorithms) describe(`the ${algorithm.name}`, () => checkAlgorithm(algorithm));
