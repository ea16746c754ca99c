#!/usr/bin/env node
/** `npm run load`: the load generator as a program of its own. */
import { loadCommand } from './command.ts';

const EXIT_USAGE = 2;

await loadCommand()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
  .showHelpAfterError('(see --help)')
  .parseAsync();
