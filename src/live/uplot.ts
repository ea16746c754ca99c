/** uPlot as its npm package ships it, to be put into pages that ask no server for anything. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

function packageFile(name: string): string {
  const library = createRequire(import.meta.url).resolve('uplot');
  // Whatever a string in it says, it cannot end the script element it stands in.
  return readFileSync(join(dirname(library), name), 'utf8').replaceAll('</script', '<\\/script');
}

/** Defines `uPlot` where it runs. */
export const uplotScript = (): string => packageFile('uPlot.iife.min.js');

export const uplotStyle = (): string => packageFile('uPlot.min.css');
