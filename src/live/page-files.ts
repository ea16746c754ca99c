/** The files of pages and of uPlot, for pages that load nothing from any server. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MetricsStreamError } from '../base/errors.ts';

/** Relative to the package, because the compiler leaves these files where they are. */
const SOURCES = fileURLToPath(new URL('../../../src/', import.meta.url));
export const LIVE_PAGE = 'live/page';

/**
 * @param name below `src/<directory>`; it may lead to the directory of another page
 * @throws MetricsStreamError if the installation lacks the file
 */
export function readPageFile(name: string, directory = LIVE_PAGE): string {
  const path = join(SOURCES, directory, name);
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `cannot read ${path}: install src/${directory} beside dist`;
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
