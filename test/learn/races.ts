/** Two accesses that nothing orders, in words for a learner. */
import type { AccessReport, Race } from '../../src/happens-before/scenario.ts';

/** `src/a.ts:12`, wherever the tree lies that was compiled. */
function placeOf({ place }: AccessReport): string | null {
  return place === null ? null : `${place.file.replace(/^.*\b(src|test)\//, '$1/')}:${place.line}`;
}

function sentenceOf(access: AccessReport): string {
  const { thread, verb, word, how } = access;
  const place = placeOf(access);
  return `${thread} ${verb} ${word} by ${how}${place === null ? '' : ` at ${place}`}`;
}

/** Both accesses as a sentence, and those of their lines that the learner may have written. */
export function wordsOfRace({ first, second }: Race): { readonly got: string; readonly where?: string[] } {
  const got = `${sentenceOf(first)}; ${sentenceOf(second)}`;
  const own = [first, second].map(placeOf).filter((place) => place?.startsWith('src/') === true);
  return own.length === 0 ? { got } : { got, where: own as string[] };
}
