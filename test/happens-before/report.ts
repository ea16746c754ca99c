/**
 * `npm run test:ordering`: the long form of the checks, as rows of the table in docs/memory-ordering.md. Exits 1 if an
 * access is unordered, or if a broken variant is not reported.
 *
 * `--only <part>`: the algorithms whose name contains it; `--seed <n>`: other random orders; `--limit <n>`: explore
 * each scenario up to so many orders; `--scenarios`: prints each scenario, without the broken variants; `--variants`: prints
 * the finding of each broken variant.
 */
import { parseArgs } from 'node:util';
import type { Report } from '../../src/happens-before/scenario.ts';
import { type Algorithm, check, LONG_LIMITS, reportOf, variantsOf } from './algorithm.ts';
import { algorithms } from './algorithms.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
    limit: { type: 'string', default: String(LONG_LIMITS.executionsMax) },
    scenarios: { type: 'boolean', default: false },
    variants: { type: 'boolean', default: false },
  },
});
const US_PER_SECOND = 1e6;
const limits = { ...LONG_LIMITS, executionsMax: Number(options.limit), seed: Number(options.seed) };

function fail(text: string): void {
  console.error(text);
  process.exitCode = 1;
}

function printScenario(name: string, { interleavings, isExhaustive, seconds }: Report): void {
  const how = isExhaustive ? 'complete' : 'not complete';
  console.log(`${name}: ${interleavings.toLocaleString('en')} orders, ${how}, ${seconds.toFixed(1)} s`);
}

async function rowOf(algorithm: Algorithm<never>): Promise<string> {
  const { name, scenarios, harmless = {} } = algorithm;
  const start = process.cpuUsage();
  let interleavings = 0;
  let complete = 0;
  for (const scenario of scenarios) {
    const report = await check(algorithm, scenario, null, limits);
    for (const { text } of [...report.races, ...report.failures]) fail(`${name}, ${scenario.name}:\n${text}`);
    interleavings += report.interleavings;
    if (report.isExhaustive) complete++;
    if (options.scenarios) printScenario(`${name}: ${scenario.name}`, report);
  }
  const { user, system } = process.cpuUsage(start);
  const seconds = ((user + system) / US_PER_SECOND).toFixed(1);
  const variants = options.scenarios ? [] : variantsOf(algorithm);
  let reported = 0;
  for (const variant of variants) {
    const { report } = await reportOf(algorithm, variant);
    if (report !== null) reported++;
    else if (!(variant.name in harmless)) fail(`${name}: nothing reports "${variant.name}"`);
    if (options.variants) console.log(`${variant.name}: ${report ?? `harmless: ${harmless[variant.name]}`}`);
  }
  const count = interleavings.toLocaleString('en');
  return `| ${name} | ${complete} of ${scenarios.length} | ${count} | ${seconds} | ${reported} of ${variants.length} |`;
}

console.log(
  '| algorithm | scenarios explored completely | interleavings | CPU seconds | broken variants reported |',
);
console.log('|---|---|---|---|---|');
for (const algorithm of algorithms)
  if (algorithm.name.includes(options.only)) console.log(await rowOf(algorithm));
