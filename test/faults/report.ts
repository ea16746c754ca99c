/**
 * `npm run test:faults`: every fault of the catalogue in turn, with its tally. Exits 1 if a promise does not hold.
 *
 * Options: `--long` as often as it takes to believe it (25 minutes); `--only <part>` the cases whose name contains
 * it; `--report <dir>` writes `results/reliability.md` and `.json` there; `--list` names the cases.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { commitText, machineText } from '../../load-test/report/machine.ts';
import type { Owner } from '../support/clean-up.ts';
import { FAULT_CASES } from './cases/catalogue.ts';
import { brokenPromises, type FaultCase, type Form } from './cases/fault-case.ts';
import { type Row, type RunInfo, reliabilityPage, rowOf } from './reliability-page.ts';

const { values: options } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    report: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});
const form: Form = options.long ? 'long' : 'short';

/** Runs clean-ups at the end of a case, the last one first. */
async function withOwner<T>(use: (owner: Owner) => Promise<T>): Promise<T> {
  const cleanups: (() => unknown)[] = [];
  try {
    return await use({ after: (cleanup) => void cleanups.push(cleanup) });
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

async function tried(faultCase: FaultCase): Promise<Row> {
  const skipped = faultCase.unavailable?.() ?? null;
  if (skipped !== null) return rowOf(faultCase, { seconds: 0, skipped, broken: [] });
  const startedAt = performance.now();
  const seconds = () => Number(((performance.now() - startedAt) / 1_000).toFixed(1));
  try {
    const tally = await withOwner((owner) => faultCase.run(owner, form));
    return rowOf(faultCase, { seconds: seconds(), tally, broken: brokenPromises(tally) });
  } catch (error) {
    console.error(error);
    const [firstLine = ''] = String(error).split('\n');
    return rowOf(faultCase, { seconds: seconds(), broken: [firstLine] });
  }
}

function progress({ name, seconds, tally, skipped, broken }: Row): string {
  if (skipped !== undefined) return `skip  ${name}: ${skipped}`;
  const state = broken.length === 0 ? 'ok   ' : 'FAIL ';
  return `${state} ${name} (${seconds} s) ${tally === undefined ? '' : JSON.stringify(tally)} ${broken.join('; ')}`;
}

const wanted = FAULT_CASES.filter(({ name }) => name.includes(options.only));
if (wanted.length === 0) {
  console.error(`No fault's name contains "${options.only}".`);
  process.exit(1);
}
if (options.list) {
  for (const { name, fault } of wanted) console.log(`${name}: ${fault}`);
  process.exit(0);
}

const rows: Row[] = [];
for (const faultCase of wanted) {
  const row = await tried(faultCase);
  console.log(progress(row));
  rows.push(row);
}

if (options.report !== undefined) {
  const info: RunInfo = {
    command: ['npm run test:faults --', ...process.argv.slice(2)].join(' '),
    form,
    date: new Date().toISOString().slice(0, 10),
    commit: commitText() || 'unknown',
    machine: machineText(),
  };
  writeFileSync(join(options.report, 'results', 'reliability.md'), reliabilityPage(info, rows));
  const json = JSON.stringify({ ...info, rows }, null, 2);
  writeFileSync(join(options.report, 'results', 'reliability.json'), `${json}\n`);
}
process.exit(rows.some(({ broken }) => broken.length > 0) ? 1 : 0);
