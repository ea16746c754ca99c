/** Standard output and standard error of commands: a failed write ends the command with one line. */
import { writeSync } from 'node:fs';
import { systemErrorText } from '../base/errors.ts';
import { openNonBlocking } from '../base/log-output.ts';

const STDERR = 2;
const EXIT_FAILURE = 1;

/** Writes one line to standard error. Drops it if it cannot be written now: nothing may delay the end of a command. */
export function printError(text: string): void {
  try {
    writeSync(openNonBlocking(STDERR), `metricsstream: ${text}\n`);
  } catch {
    // The exit code still reports the failure.
  }
}

let isWatched = false;

/** To be called before the first write to standard output. */
export function failOnOutputError(): void {
  if (isWatched) return;
  isWatched = true;
  process.stdout.on('error', (error) => {
    printError(`cannot write the output: ${systemErrorText(error)}`);
    process.exit(EXIT_FAILURE);
  });
  process.stderr.on('error', () => {});
}
