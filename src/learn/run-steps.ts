/**
 * A process that runs the tests of steps against the code built beside it: `run-steps.js REQUEST`, a JSON text. Prints one
 * line of JSON for each step and stops behind the first failure.
 */
import { pathToFileURL } from 'node:url';
import { type Finding, StepFailure } from './failure.ts';
import type { StepModule } from './step-module.ts';

export interface RunRequest {
  readonly root: string;
  readonly steps: readonly { readonly id: string; readonly module: string; readonly guess: number | null }[];
}

export type StepResult =
  | { readonly step: string; readonly kind: 'starts' }
  | { readonly step: string; readonly kind: 'passed'; readonly note: string }
  | { readonly step: string; readonly kind: 'failed'; readonly finding: Finding }
  /** The code threw something else. */
  | { readonly step: string; readonly kind: 'threw'; readonly message: string; readonly stack: string };

const print = (result: StepResult): void => {
  process.stdout.write(`${JSON.stringify(result)}\n`);
};

async function run({ root, steps }: RunRequest): Promise<boolean> {
  for (const { id, module, guess } of steps) {
    print({ step: id, kind: 'starts' });
    try {
      const { check } = (await import(pathToFileURL(module).href)) as StepModule;
      const note = await check({ guess, root });
      print({ step: id, kind: 'passed', note: typeof note === 'string' ? note : '' });
    } catch (error) {
      if (error instanceof StepFailure) print({ step: id, kind: 'failed', finding: error.finding });
      else {
        const { message, stack } = error instanceof Error ? error : new Error(String(error));
        print({ step: id, kind: 'threw', message, stack: stack ?? '' });
      }
      return false;
    }
  }
  return true;
}

const hasPassed = await run(JSON.parse(process.argv[2] ?? '') as RunRequest);
// Threads that a failed step left behind must not keep the process alive.
process.exit(hasPassed ? 0 : 1);
