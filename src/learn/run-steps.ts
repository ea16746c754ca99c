/**
 * A process that runs the tests of steps against the code built beside it: `run-steps.js REQUEST`, a JSON text. Writes one
 * line of JSON for each step to RESULTS_FD and stops after the first failure.
 */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { StepFailure } from './failure.ts';
import type { StepModule } from './step-module.ts';
import { RESULTS_FD, type RunRequest, type StepResult } from './step-result.ts';

const report = (result: StepResult): void => {
  writeSync(RESULTS_FD, `${JSON.stringify(result)}\n`);
};

async function run({ root, steps }: RunRequest): Promise<boolean> {
  for (const { id, module, guess } of steps) {
    report({ step: id, kind: 'starts' });
    try {
      const { check } = (await import(pathToFileURL(module).href)) as StepModule;
      const note = await check({ guess, root });
      report({ step: id, kind: 'passed', note: typeof note === 'string' ? note : '' });
    } catch (error) {
      if (error instanceof StepFailure) report({ step: id, kind: 'failed', finding: error.finding });
      else {
        const { message, stack } = error instanceof Error ? error : new Error(String(error));
        report({ step: id, kind: 'threw', message, stack: stack ?? '' });
      }
      return false;
    }
  }
  return true;
}

const hasPassed = await run(JSON.parse(process.argv[2] ?? '') as RunRequest);
// Threads that a failed step left behind must not keep the process alive.
process.exit(hasPassed ? 0 : 1);
