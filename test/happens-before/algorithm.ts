/**
 * An algorithm over shared memory, with the scenarios that show its ordering and the broken variants that they report.
 *
 * Most variants are made from the compiled code: each atomic operation becomes plain, each wait and each notification
 * goes. The others are texts to replace. So a new Atomics call comes with its variant, and one that no scenario reports
 * fails the test unless the algorithm gives the reason.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkOrdering } from '../../src/happens-before/check-ordering.ts';
import type { Report, Scenario } from '../../src/happens-before/scenario.ts';

export interface Variant {
  readonly name: string;
  /** The compiled file that differs, from `dist/src`. */
  readonly file: string;
  rewrite(text: string): string;
}

/** The text without the lines that mark the steps of a learner, some of which are code in comments. */
function withoutMarkers(text: string): string {
  return text.replaceAll(/^ *\/\/[>:<].*\n/gm, '');
}

/** A variant with other code in one place of a file. */
export function swap(name: string, file: string, code: string, by: string): Variant {
  const rewrite = (text: string): string => {
    const [before, after, ...more] = withoutMarkers(text).split(code);
    if (before === undefined || after === undefined || more.length > 0)
      throw new Error(`${file} has to contain once: ${code}`);
    return before + by + after;
  };
  return { name, file, rewrite };
}

export interface Algorithm<Modules> {
  /** Its row in docs/memory-ordering.md. */
  readonly name: string;
  /** Compiled modules, from `dist/src`; the scenarios get their exports together. */
  readonly modules: readonly string[];
  /** Files whose atomic operations are broken one by one, from `dist/src`. */
  readonly breaks: readonly string[];
  readonly constants?: Readonly<Record<string, number>>;
  readonly scenarios: readonly Scenario<Modules>[];
  /** Interleavings to explore of each scenario also in the short form. */
  readonly interleavingsMax?: number;
  readonly variants: readonly Variant[];
  /** Variants that cannot show, by name, with the reason. */
  readonly harmless?: Readonly<Record<string, string>>;
}

const compiled = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

interface Limits {
  readonly executionsMax: number;
  readonly randomMax: number;
  readonly seed?: number;
}

export const SHORT_LIMITS: Limits = { executionsMax: 500, randomMax: 100 };
/** Explores most scenarios completely. */
export const LONG_LIMITS: Limits = { executionsMax: 20_000, randomMax: 2_000 };

export function check<Modules>(
  { modules, constants = {} }: Algorithm<Modules>,
  scenario: Scenario<Modules>,
  variant: Variant | null = null,
  limits: Limits,
): Promise<Report> {
  const rewrite = (path: string, text: string): string =>
    variant !== null && path === compiled(variant.file) ? variant.rewrite(text) : text;
  return checkOrdering({ module: modules.map(compiled), scenario, constants, rewrite, ...limits });
}

export interface VariantResult {
  readonly variant: Variant;
  /** The finding, or null. */
  readonly report: string | null;
}

/**
 * Random orders find a defect sooner than a systematic search, which begins with orders that differ little. First a short
 * search of each scenario: most variants show in the first few orders of one of them.
 */
const VARIANT_LIMITS: readonly Limits[] = [
  { executionsMax: 10, randomMax: 40 },
  { executionsMax: 50, randomMax: 1_500, seed: 100 },
];

/** Checks a variant in one scenario after the other, until one reports it. */
export async function reportOf<Modules>(
  algorithm: Algorithm<Modules>,
  variant: Variant,
): Promise<VariantResult> {
  const isHarmless = algorithm.harmless !== undefined && variant.name in algorithm.harmless;
  for (const limits of isHarmless ? VARIANT_LIMITS.slice(0, 1) : VARIANT_LIMITS) {
    for (const scenario of algorithm.scenarios) {
      const { races, failures } = await check(algorithm, scenario, variant, limits);
      const report = races[0]?.text ?? failures[0]?.text;
      if (report !== undefined) return { variant, report };
    }
  }
  return { variant, report: null };
}

/** The replacements of atomic operations, made of the parameters as they are in the code. */
const REPLACEMENTS: Readonly<Record<string, (parameters: readonly string[]) => string>> = {
  load: ([view, index]) => `${view}[${index}]`,
  store: ([view, index, value]) => `(${view}[${index}] = ${value})`,
  add: ([view, index, value]) => `((${view}[${index}] += ${value}) - ${value})`,
  exchange: ([view, index, value]) => `((old) => ((${view}[${index}] = ${value}), old))(${view}[${index}])`,
  compareExchange: ([view, index, expected, value]) =>
    `((old) => (old === (${expected}) && (${view}[${index}] = ${value}), old))(${view}[${index}])`,
  wait: () => `'timed-out'`,
  waitAsync: () => `{ async: false, value: 'not-equal' }`,
  notify: () => '0',
};

const WAKING: ReadonlySet<string> = new Set(['wait', 'waitAsync', 'notify']);

/** The parameters of the call whose parenthesis opens before `start`, and the position after it. */
function parametersAt(text: string, start: number): { readonly parameters: string[]; readonly end: number } {
  const parameters: string[] = [];
  let depth = 1;
  let from = start;
  let at = start;
  for (; depth > 0; at++) {
    if ('([{'.includes(text[at]!)) depth++;
    if (')]}'.includes(text[at]!)) depth--;
    if (depth > 1 || (depth === 1 && text[at] !== ',')) continue;
    parameters.push(text.slice(from, at).trim());
    from = at + 1;
  }
  return { parameters, end: at };
}

/** A variant for each atomic operation of the files, which makes it plain or leaves it out. */
function generated({ breaks }: Algorithm<never>): Variant[] {
  return breaks.flatMap((file) => {
    const text = withoutMarkers(readFileSync(compiled(file), 'utf8'));
    return [...text.matchAll(/\bAtomics\.(\w+)\(/g)].map(({ 0: start, 1: name = '', index }) => {
      const { parameters, end } = parametersAt(text, index + start.length);
      const how = WAKING.has(name) ? `no Atomics.${name}` : `plain ${name}`;
      const word = parameters[1]!.replace(/^this\./, '');
      return {
        name: `${how} of ${word} in ${methodAt(text.slice(0, index))}`,
        file,
        rewrite: () => text.slice(0, index) + REPLACEMENTS[name]!(parameters) + text.slice(end),
      };
    });
  });
}

/** The name of the function whose body the text ends in. */
function methodAt(before: string): string {
  const heads = [
    ...before.matchAll(/^(?: {4})?(?:export )?(?:static |get |set |function )*(\w+)(?: = )?\(.*(?:\{|=>)$/gm),
  ];
  return heads.at(-1)?.[1] ?? 'the module';
}

export function variantsOf<Modules>(algorithm: Algorithm<Modules>): readonly Variant[] {
  const names = new Map<string, number>();
  return [...generated(algorithm as Algorithm<never>), ...algorithm.variants].map((variant) => {
    const count = (names.get(variant.name) ?? 0) + 1;
    names.set(variant.name, count);
    return count === 1 ? variant : { ...variant, name: `${variant.name} (${count})` };
  });
}
