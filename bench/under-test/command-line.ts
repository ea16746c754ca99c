/** Shared by the command lines of the benchmarks: values of options, the scratch directory, exit codes. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InvalidArgumentError, Option } from 'commander';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export const RESULTS_DIRECTORY = join(ROOT, 'docs/results');

export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max && text.trim() !== '') return value;
    const upTo = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`;
    throw new InvalidArgumentError(`give a whole number from ${min}${upTo}`);
  };
}

export function listOf<T>(allowed: readonly T[]): (text: string) => T[] {
  return (text) => {
    const found = text.split(',').map((item) => {
      const choice = allowed.find((candidate) => String(candidate) === item.trim());
      if (choice === undefined) throw new InvalidArgumentError(`choose from ${allowed.join(', ')}`);
      return choice;
    });
    return [...new Set(found)];
  };
}

export const scratchOption = (name: string): Option =>
  new Option('--scratch <directory>', 'for data, on a disk; emptied afterwards').default(
    join(ROOT, '.artifacts', name),
    `.artifacts/${name}`,
  );

export const reportOption = (name: string): Option =>
  new Option('--report <directory>', `writes ${name}.json there, and the tables of ${name}.md`);

export const renderOption = (name: string): Option =>
  new Option('--render', `measures nothing: fills in the tables again from ${name}.json`).default(false);

/** A line for people, beside what goes to stdout. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Runs a benchmark to its exit code. An error is one line, and a signal lets `exit` handlers clean up. */
export async function runMain(main: () => Promise<number>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  try {
    process.exitCode = await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
