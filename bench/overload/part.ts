/** Options and results that the parts of the overload benchmark share, and the checks that every load gets. */
import { countOf, type LoadResult } from '../../load-test/plan.ts';
import type { Table } from '../report/table.ts';
import { sum as sumOf } from '../statistics.ts';
import { correct, type Finding } from './finding.ts';
import type { ProbeSummary } from './probes.ts';

export interface PartOptions {
  /** For data, on a disk. */
  readonly scratch: string;
  /** Of the longest load; the others keep their lengths. */
  readonly seconds: number;
  /** Loads of a second, neither pinned nor limited, that judge correctness only. */
  readonly smoke: boolean;
  readonly progress: (text: string) => void;
}

export interface PartResult {
  readonly name: string;
  readonly findings: readonly Finding[];
  /** By the name of their mark in the page. */
  readonly tables: Readonly<Record<string, Table>>;
  readonly probes: readonly ProbeSummary[];
  /** The figures behind the tables. */
  readonly data: unknown;
}

const ANSWER_ALLOWED = /^(2\d\d|429|503)$/;

/** Statuses, Retry-After, accepted = stored: required of every load. */
export function correctness(name: string, results: readonly LoadResult[]): Finding[] {
  const sum = (pick: (result: LoadResult) => number): number => sumOf(results.map(pick));
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

/** Percentiles stay; the whole histograms would be most of the file. */
export function withoutHistograms({ apiLatency, serviceTime, refusalLatency, ...rest }: LoadResult) {
  const lean = ({ hdr: _hdr, distribution: _points, ...summary }: LoadResult['apiLatency']) => summary;
  return {
    ...rest,
    apiLatency: lean(apiLatency),
    serviceTime: lean(serviceTime),
    refusalLatency: lean(refusalLatency),
  };
}
