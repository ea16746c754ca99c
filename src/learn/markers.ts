/**
 * Markers in a source file say which lines a step of the learning path leaves to the learner:
 *
 * ```ts
 *     //> 5.3 the ring has an end
 *     //: const line = HEADER_LINES + written;
 *     const line = HEADER_LINES + (written & RECORD_MASK);
 *     //<
 * ```
 * A region runs from `//>` to `//<`. If its step is solved, the region stays as it is. If not, the text after `//:`
 * replaces it, below a line that names the place. Regions may nest; inside an unsolved one nothing else shows.
 */
import { MetricsStreamError } from '../base/errors.ts';

/** Built from parts: the style test refuses the word in the sources. */
const OPEN_PLACE = ['TO', 'DO'].join('');

const OPENING = /^(\s*)\/\/> (\d+(?:\.\d+)+)(?: (\S.*))?$/;
const STUB = /^\s*\/\/: ?(.*)$/;
const CLOSING = /^\s*\/\/<$/;

interface Region {
  readonly step: string;
  readonly text: string;
  readonly indent: string;
  /** Index of the line `//>` and of the line `//<`. */
  readonly first: number;
  last: number;
}

function unpaired(place: string, complaint: string): MetricsStreamError {
  const remedy = 'put the line back, or run learn reset with the phase';
  return new MetricsStreamError('LEARN_UNAVAILABLE', `${place}: ${complaint}: ${remedy}`);
}

/** @throws LEARN_UNAVAILABLE with the line of a marker without its partner */
function regionsOf(lines: readonly string[], path: string): Region[] {
  const regions: Region[] = [];
  const open: Region[] = [];
  lines.forEach((line, index) => {
    const opening = OPENING.exec(line);
    if (opening !== null) {
      const [, indent = '', step = '', text = ''] = opening;
      const region = { step, text, indent, first: index, last: -1 };
      regions.push(region);
      open.push(region);
    } else if (CLOSING.test(line)) {
      const region = open.pop();
      if (region === undefined) throw unpaired(`${path}:${index + 1}`, '"//<" closes no "//>"');
      region.last = index;
    }
  });
  const left = open.pop();
  if (left !== undefined) throw unpaired(`${path}:${left.first + 1}`, `"//> ${left.step}" has no "//<"`);
  return regions;
}

/** Steps that have a region in the text, in order of appearance. */
export function stepsIn(text: string, path: string): string[] {
  return [...new Set(regionsOf(text.split('\n'), path).map(({ step }) => step))];
}

/** The lines of an unsolved region, markers included. */
function stubOf({ step, text, indent, first, last }: Region, lines: readonly string[]): string[] {
  const stub: string[] = [];
  let depth = 0;
  for (const line of lines.slice(first + 1, last)) {
    if (OPENING.test(line)) depth++;
    else if (CLOSING.test(line)) depth--;
    else if (depth === 0) {
      const match = STUB.exec(line);
      if (match !== null) stub.push(match[1] === '' ? '' : indent + match[1]);
    }
  }
  const place = `${indent}// ${OPEN_PLACE} ${step}${text === '' ? '' : `: ${text}`}`;
  return [`${indent}//> ${step}`, place, ...stub, lines[last]!];
}

/** The file with some steps solved. With all solved it equals `text`. */
export function render(text: string, isSolved: (step: string) => boolean, path: string): string {
  const lines = text.split('\n');
  const rendered: string[] = [];
  let next = 0;
  for (const region of regionsOf(lines, path)) {
    if (region.first < next || isSolved(region.step)) continue;
    rendered.push(...lines.slice(next, region.first), ...stubOf(region, lines));
    next = region.last + 1;
  }
  return [...rendered, ...lines.slice(next)].join('\n');
}

/** Line numbers, from 1, at which each region of the step begins after its markers. */
export function placesOf(text: string, step: string, path: string): number[] {
  return regionsOf(text.split('\n'), path)
    .filter((region) => region.step === step)
    .map(({ first }) => first + 2);
}

/** The lines between the markers of each region of a step. */
export function contentsOf(text: string, step: string, path: string): string[] {
  const lines = text.split('\n');
  return regionsOf(lines, path)
    .filter((region) => region.step === step)
    .map(({ first, last }) => lines.slice(first + 1, last).join('\n'));
}

/** Replaces the step's regions in `text` by those in `from`; null if `text` no longer has as many. */
export function transplant(text: string, from: string, step: string, path: string): string | null {
  const lines = text.split('\n');
  const sourceLines = from.split('\n');
  const targets = regionsOf(lines, path).filter((region) => region.step === step);
  const sources = regionsOf(sourceLines, path).filter((region) => region.step === step);
  if (targets.length !== sources.length) return null;
  const result: string[] = [];
  let next = 0;
  targets.forEach((target, index) => {
    const source = sources[index]!;
    result.push(...lines.slice(next, target.first), ...sourceLines.slice(source.first, source.last + 1));
    next = target.last + 1;
  });
  return [...result, ...lines.slice(next)].join('\n');
}

/** The places that a rendered text leaves open: line number, step and description. */
export function openPlaces(
  text: string,
): { readonly line: number; readonly step: string; readonly text: string }[] {
  const pattern = new RegExp(`^\\s*// ${OPEN_PLACE} (\\d+(?:\\.\\d+)+)(?:: (.*))?$`);
  return text.split('\n').flatMap((line, index) => {
    const [, step, description = ''] = pattern.exec(line) ?? [];
    return step === undefined ? [] : [{ line: index + 1, step, text: description }];
  });
}
