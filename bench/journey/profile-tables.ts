/** Tables of what a profile says: shares of the CPU time, and the most costly functions. */
import { number, percent, whole } from '../report/numbers.ts';
import type { Table } from '../report/table.ts';
import type { Journey, Profile } from './figures.ts';
import type { RevertedSlot } from './plan.ts';
import { COMPILE, GARBAGE, LAZY_COMPILE, LIMIT, PARSE, STORE, TELEMETRY } from './stacks.ts';
import { shareOf } from './summary.ts';

/** Which work a slot does, in a profile. */
export const SLOT_SHARES: Readonly<Partial<Record<RevertedSlot, string>>> = {
  writer: STORE,
  parser: PARSE,
  limiter: LIMIT,
  telemetry: TELEMETRY,
};
export const isCompilingOrCollecting = (name: string): boolean =>
  [COMPILE, LAZY_COMPILE, GARBAGE].includes(name);
/** Profiles leave out smaller shares. */
const MIN_SHARE = 0.005;

export const shareText = (profile: Profile | undefined, wanted: (name: string) => boolean): string => {
  if (profile === undefined) return '–';
  const share = shareOf(profile, wanted);
  return share < MIN_SHARE ? `< ${percent(MIN_SHARE)}` : percent(share);
};

export function profileTable({ profiles }: Journey): Table {
  const largest = new Map<string, number>();
  for (const { name, share } of profiles.flatMap(({ shares }) => shares)) {
    largest.set(name, Math.max(largest.get(name) ?? 0, share));
  }
  const names = [...largest].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const row = (title: string, text: (profile: Profile) => string): string[] => [title, ...profiles.map(text)];
  return {
    head: ['share of the CPU time', ...profiles.map(({ phase }) => `phase ${phase}`)],
    rows: [
      ...names.map((name) =>
        row(name, ({ shares }) => {
          const own = shares.find((candidate) => candidate.name === name);
          return own === undefined ? '' : percent(own.share);
        }),
      ),
      row('time in which it waited: for requests, the disk or the core', ({ idleShare }) =>
        percent(idleShare),
      ),
      row('metrics/s stored under the profiler', ({ storedPerSecond }) => number(storedPerSecond)),
      row('samples', ({ samples }) => whole(samples)),
    ],
  };
}

const TOP_FUNCTIONS = 6;

export function functionTable({ profiles }: Journey): Table {
  return {
    head: ['phase', 'most costly functions'],
    rows: profiles.map(({ phase, functions }) => [
      String(phase),
      functions
        .slice(0, TOP_FUNCTIONS)
        .map(({ name, share }) => `\`${name.replaceAll('|', '/')}\` ${(share * 100).toFixed(1)}%`)
        .join(', '),
    ]),
  };
}
