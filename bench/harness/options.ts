/**
 * Command line of the benchmarks without one of their own, and the lengths that the environment sets.
 *
 * `--smoke` or BENCH_SMOKE=1 verifies every case and prints no figures, for CI. `--only=TEXT` runs the comparisons whose
 * title contains TEXT. `--report DIR` writes figures, tables and charts there, and `--render` makes tables and charts
 * again from the figures there. BENCH_ROUNDS and BENCH_ROUND_MS set the length.
 */
import { parseArgs } from 'node:util';

const flag = { type: 'boolean' } as const;
const text = { type: 'string' } as const;
const OPTIONS = {
  ...{ smoke: flag, only: text, report: text, render: flag },
  // Of single benchmarks: admission; wal; databases; nats; archive; live-page.
  ...{ load: text, seed: text, dir: text, url: text, publish: flag, size: flag, ingest: flag },
  ...{ seconds: text, rounds: text },
};

function parsed() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true }).values;
  } catch (error) {
    console.error((error as Error).message);
    return process.exit(2);
  }
}

export const options = parsed();
export const smokeRun = options.smoke === true || process.env.BENCH_SMOKE === '1';

/** @param title of a comparison, or the first words of the titles of several */
export const isWanted = (title: string): boolean => {
  const { only = '' } = options;
  return title.includes(only) || only.startsWith(title);
};

export const roundsOr = (rounds: number): number => Number(process.env.BENCH_ROUNDS ?? rounds);

export const roundMsOr = (ms: number): number => Number(process.env.BENCH_ROUND_MS ?? ms);
