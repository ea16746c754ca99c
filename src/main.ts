#!/usr/bin/env node
/** Entry of the process: handles signals before it loads anything else. */
import { Signals, startsServer } from './cli/signals.ts';

const signals = new Signals(startsServer(process.argv.slice(2)));
const { run } = await import('./cli/program.ts');
await run(signals);
