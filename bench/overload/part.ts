/** What the parts of the overload benchmark share: what they are given, and what they find. */
import type { LoadResult } from '../../load-test/plan.ts';
import { countOf } from '../../load-test/plan.ts';
import type { ProbeSummary } from './probes.ts';

export interface PartOptions {
  /** For data, on a disk. */
  readonly scratch: string;
  /** Of the longest load; the others keep their lengths. */
  readonly seconds: number;
  /** Loads of a second, neither pinned nor limited: what is judged is correctness, and no figure. */
  readonly smoke: boolean;
  readonly progress: (text: string) => void;
}

export interface Finding {
  readonly requirement: string;
  readonly measured: string;
  /** Null: a figure, and no requirement. */
  readonly holds: boolean | null;
  /** Also judged by a short run on a busy machine. */
  readonly isCorrectness: boolean;
}

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface PartResult {
  readonly name: string;
  readonly title: string;
  readonly findings: readonly Finding[];
  readonly text: readonly string[];
  readonly tables: readonly Table[];
  readonly probes: readonly ProbeSummary[];
  /** The figures behind the text. */
  readonly data: unknown;
}

export const correct = (requirement: string, holds: boolean, measured: string): Finding => {
  return { requirement, measured, holds, isCorrectness: true };
};

export const figure = (requirement: string, holds: boolean | null, measured: string): Finding => {
  return { requirement, measured, holds, isCorrectness: false };
};

const ANSWER_ALLOWED = /^(2\d\d|429|503)$/;

/** Statuses, Retry-After, accepted = stored: what holds of every load. */
export function correctness(name: string, results: readonly LoadResult[]): Finding[] {
  const sum = (pick: (result: LoadResult) => number): number =>
    results.reduce((total, result) => total + pick(result), 0);
  const wrong = new Map<string, number>();
  for (const { outcomes } of results)
    for (const [outcome, count] of Object.entries(outcomes)) {
      if (!ANSWER_ALLOWED.test(outcome)) wrong.set(outcome, (wrong.get(outcome) ?? 0) + (count ?? 0));
    }
  const sent = sum((result) => result.sent);
  const refused = sum(({ outcomes }) =>
    countOf(outcomes, (outcome) => outcome === '429' || outcome === '503'),
  );
  const without = sum((result) => result.withoutRetryAfter);
  const failed = results.filter(({ check }) => check.kind !== 'files' || !check.ok);
  return [
    correct(
      `${name}: only 2xx, 429 and 503`,
      wrong.size === 0,
      wrong.size === 0
        ? `${sent} answers`
        : `of ${sent}: ${[...wrong].map(([outcome, count]) => `${count} × ${outcome}`).join(', ')}`,
    ),
    correct(
      `${name}: Retry-After with every 429 and 503`,
      without === 0,
      `${refused} refusals, ${without} without`,
    ),
    correct(
      `${name}: all that was accepted is in the files, and nothing that was refused`,
      failed.length === 0,
      failed.length === 0
        ? `${sum(({ check }) => check.accepted)} metrics accepted, ${sum(({ check }) => check.stored ?? 0)} stored`
        : failed.map(({ check }) => check.detail).join('; '),
    ),
  ];
}
