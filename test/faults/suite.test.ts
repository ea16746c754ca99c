/** The faults of the catalogue in their short form; `npm run test:faults` runs the long one and writes the report. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FAULT_CASES } from './cases/catalogue.ts';
import { brokenPromises } from './cases/fault-case.ts';

describe('under faults the promises hold:', () => {
  for (const { name, fault, promise, unavailable, run } of FAULT_CASES.filter(({ longOnly }) => !longOnly)) {
    it(`${name}: ${fault}: ${promise}`, { skip: unavailable?.() ?? false }, async (t) => {
      const tally = await run(t, 'short');
      t.diagnostic(JSON.stringify(tally));
      assert.deepEqual(brokenPromises(tally), []);
    });
  }
});
