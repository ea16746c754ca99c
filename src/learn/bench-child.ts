/** One measurement in a process of its own: `bench-child.js MODULE ROW SIDE MS ROOT`. Prints the figure. */
import { pathToFileURL } from 'node:url';
import type { BenchModule, Side } from './bench-module.ts';

// At the time limit: the listeners of `exit` end the server that the measurement started.
process.once('SIGTERM', () => process.exit(1));

const [, , module = '', row = '', side = '', ms = '', root = ''] = process.argv;
const { bench } = (await import(pathToFileURL(module).href)) as BenchModule;
const found = bench.rows.find(({ name }) => name === row);
if (found === undefined) throw new RangeError(`the benchmark has no row "${row}"`);
process.stdout.write(`${await found.measure(side as Side, Number(ms), root)}\n`);
process.exit(0);
