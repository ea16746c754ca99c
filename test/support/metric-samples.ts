/** Metrics with every kind of number and text, for tests of what stores or reads them. */
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { testSeed } from '../parser/bodies.ts';
import type { CommittedMetric } from './stored-metrics.ts';

const text = fc.string({ unit: 'binary', maxLength: 12 });
const name = text.filter((value) => value !== '' && !/\p{Cc}/u.test(value));
const timestamp = fc.oneof(
  fc.integer({ min: 1_795_000_000_000, max: 1_795_000_900_000 }),
  fc.integer({ min: -8.64e15, max: 8.64e15 }),
);
const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc
    .tuple(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 6 }))
    .map(([digits, at]) => digits / 10 ** at),
  fc.constantFrom(
    0,
    -0,
    1e15,
    -1e15,
    2 ** 53,
    0.1,
    -0.5,
    999_999_999_999_999,
    1e-7,
    5e-324,
    1.7976931348623157e308,
  ),
);
const metric = fc.record(
  {
    timestamp,
    name,
    value,
    type: fc.constantFrom('gauge', 'counter', 'histogram', 'summary'),
    tags: fc.dictionary(text, text, { maxKeys: 4 }),
  },
  { requiredKeys: ['timestamp', 'name', 'value', 'type'] },
);

/** The metrics of a commit. */
export const METRICS = fc.array(metric, { minLength: 1, maxLength: 60 });

/** Values with the seed of this run, which the report names. */
export function sample<Value>(t: TestContext, arbitrary: fc.Arbitrary<Value>, numRuns: number): Value[] {
  const seed = testSeed();
  t.diagnostic(`seed ${seed}`);
  return fc.sample(arbitrary, { numRuns, seed });
}

/** Numbers as other clients write them; JSON.stringify has one form for each. */
export const NOTATIONS = [
  '1.50',
  '-0.0',
  '0.000',
  '1e3',
  '1E-3',
  '-12.5e+2',
  '123456789012345.6',
  '0.1000000000000000055',
];

/** A text that differs for metrics that differ in anything, also in the sign of a zero; for sorting. */
export function textOf(stored: CommittedMetric): string {
  const { timestamp: time, name: of, value: number, type, tags, commit } = stored;
  const exact = Object.is(number, -0) ? '-0' : String(number);
  return JSON.stringify([commit, time, of, type, exact, Object.entries(tags).sort()]);
}
