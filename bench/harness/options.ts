/**
 * Options that all component benchmarks understand, as arguments or environment.
 *
 * `--smoke` or BENCH_SMOKE=1 verifies every case and prints no figures, for CI. `--json` prints one JSON object a
 * comparison. `--only=TEXT` runs the comparisons whose title contains TEXT. `--report DIR` writes figures, tables and
 * charts there, and `--render` makes tables and charts again from the figures there. BENCH_ROUNDS and BENCH_ROUND_MS set
 * the length.
 */

/** The value of `name VALUE` or `name=VALUE`. */
export const argumentOf = (name: string): string | undefined => {
  const at = process.argv.findIndex((argument) => argument === name || argument.startsWith(`${name}=`));
  if (at < 0) return undefined;
  const argument = process.argv[at]!;
  return argument === name ? process.argv[at + 1] : argument.slice(name.length + 1);
};

export const smokeRun = process.argv.includes('--smoke') || process.env.BENCH_SMOKE === '1';
export const jsonOutput = process.argv.includes('--json');
export const renderOnly = process.argv.includes('--render');
export const reportDirectory = argumentOf('--report');
const only = argumentOf('--only') ?? '';

/** @param title of a comparison, or the first words of the titles of several */
export const isWanted = (title: string): boolean => title.includes(only) || only.startsWith(title);

export const roundsOr = (rounds: number): number => Number(process.env.BENCH_ROUNDS ?? rounds);

export const roundMsOr = (ms: number): number => Number(process.env.BENCH_ROUND_MS ?? ms);
