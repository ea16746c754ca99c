/**
 * The parsers against what a competent developer writes first: `JSON.parse`, a walk that checks the contract's rules,
 * `JSON.stringify` for the lines. Targets at 100 metrics a body: to columns ≥ 3× (plain) and ≥ 3.5× (tags), to lines
 * ≥ 5× with the single pass.
 */
import assert from 'node:assert/strict';
import { raiseInliningBudget } from '../../src/parser/inlining.ts';
import { compare } from '../harness/compare.ts';
import { digestOf, makeWorkload, WORKLOADS, type WorkloadName } from '../workloads.ts';
import { parseAndWalk } from './baseline.ts';
import { parse, parseToLines, repeated, toBuiltinLines, verifiedBy } from './cases.ts';
import { loadParsers } from './simd.ts';

const SIMD = 'SIMD → lines';
const WALK = 'JSON.parse + walk';
const BUILTIN = 'JSON.parse → lines';
/** Metrics that one timed call handles at least. */
const METRICS_A_RUN = 100;
/** Metrics a body for which the targets hold. */
const TARGET_METRICS = 100;

const { singlePass, simd } = await loadParsers(SIMD);
raiseInliningBudget();

async function compareAt(name: WorkloadName, metrics: number): Promise<void> {
  const { seed, body } = makeWorkload(name, metrics);
  const shape = `${name}, ${metrics} a body, ${Math.round(body.length / metrics)} B/metric`;
  const common = { unit: 'metric', workload: { seed, digest: digestOf(body) } };
  const many = (handle: () => unknown) => repeated(Math.ceil(METRICS_A_RUN / metrics), metrics, handle);
  const target = (ratio: number) => (metrics === TARGET_METRICS ? { target: ratio } : {});
  const verify = verifiedBy(singlePass, body);
  await compare({
    ...common,
    title: `parser to columns: ${shape}`,
    baseline: WALK,
    cases: [
      {
        name: WALK,
        verify: () => assert.equal(parseAndWalk(body).length, metrics),
        ...many(() => parseAndWalk(body)),
      },
      { name: 'single pass', verify, ...many(() => parse(body)), ...target(name === 'plain' ? 3 : 3.5) },
    ],
  });
  await compare({
    ...common,
    title: `parser to lines: ${shape}`,
    baseline: BUILTIN,
    cases: [
      { name: BUILTIN, verify, ...many(() => toBuiltinLines(body)) },
      { name: 'single pass → lines', verify, ...many(() => parseToLines(body)), ...target(5) },
      { name: SIMD, verify: verifiedBy(simd, body), ...many(() => parseToLines(body)) },
    ],
  });
}

for (const metrics of [100, 1, 10, 1000]) for (const name of WORKLOADS) await compareAt(name, metrics);
