/** The files of the live page and of uPlot, for pages that load nothing from any server. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MetricsStreamError } from '../base/errors.ts';

/** Relative to the package, because the compiler leaves these files where they are. */
const PAGE_DIRECTORY = fileURLToPath(new URL('../../../src/live/page/', import.meta.url));

/** @throws MetricsStreamError if the installation lacks src/live/page */
export function readPageFile(name: string): string {
  try {
    return readFileSync(join(PAGE_DIRECTORY, name), 'utf8');
  } catch (cause) {
    const message = `cannot read ${join(PAGE_DIRECTORY, name)}: install src/live/page beside dist`;
    throw new MetricsStreamError('PAGE_MISSING', message, { cause });
  }
}

export function readUplotFile(name: 'uPlot.iife.min.js' | 'uPlot.min.css'): string {
  const require = createRequire(import.meta.url);
  const library = require.resolve('uplot');
  return readFileSync(join(dirname(library), name), 'utf8');
}

/** Script text that no string in it can end early when it is inside a script element. */
export function inlineScript(script: string): string {
  return script.replaceAll('</script', '<\\/script');
}
