/** From a stack to the place in the source: through the copy, and the source map of the compiled file. */
import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadedModules } from './load-modules.ts';
import type { Place } from './scenario.ts';

const OWN_FOLDER = dirname(fileURLToPath(import.meta.url));
const FRAME = /\(?((?:file:|\/)[^()]*?):(\d+):(\d+)\)?$/;

/** The first place in a stack that is not in the checker; preferably in a checked module. */
export function placeOf(stack: string, { originalOf }: LoadedModules): Place | null {
  let outside: Place | null = null;
  for (const frame of stack.split('\n')) {
    const match = FRAME.exec(frame.trim());
    if (match === null) continue;
    const [, path = '', line = '', column = ''] = match;
    const original = originalOf(path);
    if (original !== null) return mapped(original, Number(line), Number(column));
    const file = path.startsWith('file:') ? fileURLToPath(path) : path;
    if (outside === null && !isOwn(file)) outside = mapped(file, Number(line), Number(column));
  }
  return outside;
}

/** The checker's own files, compiled or mapped; scenarios are below them. */
function isOwn(file: string): boolean {
  const folder = dirname(file);
  return folder === OWN_FOLDER || folder === OWN_FOLDER.replace('/dist/src/', '/src/');
}

function mapped(file: string, line: number, column: number): Place {
  const map = `${file}.map`;
  if (!existsSync(map)) return { file: shown(file), line };
  const entry = new SourceMap(JSON.parse(readFileSync(map, 'utf8'))).findEntry(line - 1, column - 1);
  if (!('originalSource' in entry)) return { file: shown(file), line };
  return { file: shown(resolve(dirname(file), entry.originalSource)), line: entry.originalLine + 1 };
}

function shown(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith('..') ? file : path;
}
