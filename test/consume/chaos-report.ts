/**
 * The long form of the kill tests, with a table of recovery times.
 *
 *     npm run test:chaos [-- rounds [seed]]
 */
import { textTable } from '../../load-test/format.ts';
import type { Owner } from '../support/clean-up.ts';
import { runChaos } from './chaos.ts';

const ROUNDS = 100;
const [rounds = String(ROUNDS), seed = String(Date.now() | 0)] = process.argv.slice(2);

const cleanups: (() => unknown)[] = [];
const owner: Owner = { after: (cleanup) => void cleanups.push(cleanup) };

function quantile(sorted: readonly number[], share: number): string {
  return (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]! / 1_000).toFixed(1);
}

try {
  const times = new Map<string, number[]>();
  console.log(`${rounds} rounds, seed ${seed}`);
  const { acknowledged, unknownStored, settledMs } = await runChaos(
    owner,
    Number(rounds),
    Number(seed),
    (round) => {
      const victims = round.victims.join(' and ');
      console.log(`${victims}: ${Math.round(round.recoveryMs)} ms`);
      // A pair belongs to the row of the one that was chosen first.
      const row = round.victims.length === 1 ? victims : `${round.victims[0]} and another`;
      times.set(row, [...(times.get(row) ?? []), round.recoveryMs]);
    },
  );
  const rows = [...times].map(([victims, values]) => {
    const sorted = values.toSorted((a, b) => a - b);
    return [victims, String(values.length), quantile(sorted, 0.5), quantile(sorted, 1)];
  });
  console.log(textTable([['killed', 'rounds', 'recovered after s, median', 'longest'], ...rows]));
  console.log(
    `${acknowledged} acknowledged metrics, each one row; ${unknownStored} without an answer are rows, too; ` +
      `log and tables were the same ${Math.round(settledMs)} ms after the last acknowledgement of a message`,
  );
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
