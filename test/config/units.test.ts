import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatQuantity, parseQuantity } from '../../src/config/units.ts';

describe('quantities', () => {
  for (const [kind, text, value] of [
    ['duration', '30m', 1_800_000],
    ['duration', '250', 250],
    ['duration', '1.1h', 3_960_000],
    ['duration', '7 d', 604_800_000],
    ['duration', '20ms', 20],
    ['size', '8m', 8_388_608],
    ['size', '64K', 65_536],
    ['size', '1.5g', 1_610_612_736],
    ['rate', '10k', 10_000],
    ['rate', '2M', 2_000_000],
    ['rate', '0.5', 0.5],
    ['rate', '1e9', 1e9],
    ['count', '8080', 8080],
  ] as const) {
    it(`read ${text} as a ${kind}`, () => assert.equal(parseQuantity(kind, text), value));
  }

  for (const [kind, text] of [
    ...['k', 'g', 'M', 'S', 'min', 'kib', 'µs'].map((suffix) => ['duration', `30${suffix}`] as const),
    ...['s', 'ms', 'h', 'd', 'mb', 'MiB', 't', '%'].map((suffix) => ['size', `8${suffix}`] as const),
    ...['g', 's', 'ms', 'h'].map((suffix) => ['rate', `8${suffix}`] as const),
    ...['k', 'm', 's', '%'].map((suffix) => ['count', `8${suffix}`] as const),
    ...['', ' ', 'two', '1_000', '1,000', '0x10', '--1', 'Infinity', 'NaN', '1e', 'm'].map(
      (text) => ['count', text] as const,
    ),
  ] as const) {
    it(`refuse ${JSON.stringify(text)} as a ${kind}, with advice`, () => {
      assert.match(String(parseQuantity(kind, text)), new RegExp(`a ${kind} takes`));
    });
  }

  it('print as a text that reads back to the same value', () => {
    const kinds = fc.constantFrom('duration', 'size', 'rate', 'count');
    fc.assert(
      fc.property(
        kinds,
        fc.nat(),
        fc.constantFrom(1, 1_000, 1_024, 60_000, 2 ** 20),
        (kind, count, factor) => {
          assert.equal(parseQuantity(kind, formatQuantity(kind, count * factor)), count * factor);
        },
      ),
    );
  });
});
