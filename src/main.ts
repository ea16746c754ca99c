#!/usr/bin/env node
/** Entry of the process: handles signals before it loads anything else. */
import { closeLostTerminalsAtExit } from './cli/lost-terminals.ts';
import { Signals, startsServer } from './cli/signals.ts';

/** One line where the modules themselves cannot be loaded. */
function failToLoad(error: NodeJS.ErrnoException): never {
  const remedy =
    error.code === 'EMFILE' ? 'raise the limit of open files: ulimit -n (LimitNOFILE)' : error.message;
  process.stderr.write(`metricsstream: cannot load the program: ${remedy}\n`);
  process.exit(1);
}

closeLostTerminalsAtExit();
const signals = new Signals(startsServer(process.argv.slice(2)));
const { run } = await import('./cli/program.ts').catch(failToLoad);
await run(signals);
