/** What the figures say, in sentences made from them; where a step does not pay, with the profile's reason. */
import type { Figures, Journey, Profile, RevertedSlot } from './figures.ts';
import { COMPILE, GARBAGE, isThreadStart, LAZY_COMPILE, LIMIT, PARSE, STORE, TELEMETRY } from './stacks.ts';
import {
  type Change,
  type Comparison,
  compare,
  cpuPerMillion,
  type Headline,
  headlinesOf,
  metricsPerCpuSecond,
  phasesOf,
  profileOf,
  ratioOf,
  revertCellsOf,
  saturationOf,
  shareOf,
  TARGET_FACTOR,
} from './summary.ts';
import { factor, medianAndRange, percent, whole } from './text.ts';

const stored = ({ storedPerSecond }: Figures): number => storedPerSecond;

function headlineText({ name, ratio, met, first, last }: Headline, unit: string, better: string): string {
  return (
    `${name[0]!.toUpperCase()}${name.slice(1)}: phase 0 ${medianAndRange(first)} ${unit}, the last phase ` +
    `${medianAndRange(last)} ${unit}: ${medianAndRange(ratio, factor)} ${better}. ` +
    `Target at least ${TARGET_FACTOR}×: ${met ? 'met' : 'NOT MET'}.`
  );
}

export function headlineSentences(journey: Journey): { met: boolean; text: string }[] {
  const { throughput, p99 } = headlinesOf(journey);
  return [
    ...(throughput ? [{ met: throughput.met, text: headlineText(throughput, 'metrics/s', 'as many') }] : []),
    ...(p99 ? [{ met: p99.met, text: headlineText(p99, 'ms', 'lower') }] : []),
  ];
}

/** Smaller shares are left out of a profile. */
const MIN_SHARE = 0.005;

/** Which work a slot is, in a profile. */
const SLOT_WORK: Readonly<Record<RevertedSlot, { readonly work: string; readonly share: string | null }>> = {
  dispatch: { work: 'starting and ending threads', share: null },
  writer: { work: 'writing and syncing', share: STORE },
  parser: { work: 'parsing', share: PARSE },
  limiter: { work: 'limiting', share: LIMIT },
  telemetry: { work: 'recording telemetry', share: TELEMETRY },
};

function replacedSlot({ phases }: Journey, phase: number): RevertedSlot | undefined {
  const row = phases.find(({ number: own }) => own === phase);
  const before = phases.find(({ number: own }) => own === phase - 1);
  if (!row || !before) return undefined;
  return (Object.keys(row.slots) as RevertedSlot[]).find((slot) => row.slots[slot] !== before.slots[slot]);
}

/** Where a request's thread is new, its heap, its code and its modules are, too. */
function threadCosts(profile: Profile): { start: number; codeAndHeap: number } {
  return {
    start: shareOf(profile, isThreadStart),
    codeAndHeap: shareOf(profile, (name) => name === COMPILE || name === LAZY_COMPILE || name === GARBAGE),
  };
}

function threadText(journey: Journey, phase: number): string {
  const profile = profileOf(journey, phase);
  if (profile === undefined) return '';
  const { start, codeAndHeap } = threadCosts(profile);
  if (start === 0) return '';
  return (
    `In the profile of phase ${phase} ${percent(start)} of the CPU time is starting and ending threads, and ` +
    `${percent(codeAndHeap)} compiling and collecting garbage, since code and heap are as new as the thread.`
  );
}

/** What part of the time there was to save. */
function boundText(journey: Journey, phase: number, slot: RevertedSlot): string {
  const { work, share: name } = SLOT_WORK[slot];
  const before = profileOf(journey, phase - 1);
  if (before === undefined || name === null) return '';
  const share = shareOf(before, (own) => own === name);
  const text = share < MIN_SHARE ? `less than ${percent(MIN_SHARE)}` : percent(share);
  return `In the profile of phase ${phase - 1} ${work} takes ${text} of the CPU time: no replacement can save more of it than that.`;
}

const CHANGE_TEXTS: Readonly<Record<Change, string>> = {
  more: 'more, beyond the spread of the rounds',
  less: 'less, beyond the spread of the rounds',
  none: 'no difference beyond the spread of the rounds',
};

/** One paragraph for a phase: what it changed at saturation, and where it did not pay, why. */
export function stepSentence(journey: Journey, phase: number): string {
  const slot = replacedSlot(journey, phase);
  const before = saturationOf(journey.ladder, phase - 1);
  const after = saturationOf(journey.ladder, phase);
  if (!slot || !before || !after) return '';
  const gain = compare(after.cells, before.cells, stored);
  const cpu = ratioOf(after.cells, before.cells, cpuPerMillion);
  if (!gain) return '';
  const { ratio, change } = gain;
  const facts =
    `${medianAndRange(ratio, factor)} as many metrics a second as phase ${phase - 1}: ${CHANGE_TEXTS[change]}` +
    `${cpu ? `; each metric takes ${medianAndRange(cpu, factor)} the CPU time` : ''}.`;
  const reasons =
    change === 'more'
      ? []
      : [slot === 'dispatch' ? '' : boundText(journey, phase, slot), threadText(journey, phase)];
  return [`Phase ${phase} (${slot}) stores ${facts}`, ...reasons].filter((text) => text !== '').join(' ');
}

export function stepSentences(journey: Journey): string[] {
  return phasesOf(journey)
    .map((phase) => stepSentence(journey, phase))
    .filter((text) => text !== '');
}

/** Under which load a slot's older implementation does cost, and the benchmark that shows it. */
const WHERE_IT_PAYS: Readonly<Record<RevertedSlot, string>> = {
  dispatch: 'It pays under every load: see the cells above.',
  writer:
    'It pays where many requests wait at once and a sync is slow: one sync covers all that wait (`bench/writer-batches/main.ts`).',
  parser:
    'It pays on bodies of 64 KB and more, the more when optional fields are absent, since each search for one runs to the end of the text (`bench/parser-scaling/main.ts`).',
  limiter:
    'It pays with several threads that charge at once: one worker never waits for a lock that nobody else takes (`bench/limiter-locks/main.ts`).',
  telemetry:
    'It pays with several threads that record at once, or while a scrape holds the lock (`bench/telemetry/main.ts`).',
};

const REVERT_TEXTS: Readonly<Record<Change, string>> = {
  less: 'fewer',
  none: 'no difference beyond the spread of the rounds',
  more: 'more',
};

interface RevertRatio extends Comparison {
  readonly batch: number;
}

const inBatches = (ratios: readonly RevertRatio[]): string =>
  ratios.map(({ batch, ratio }) => `${medianAndRange(ratio, factor)} at ${whole(batch)}`).join(', ');

/** One paragraph for a slot reverted in the last phase. */
export function revertSentence(journey: Journey, slot: RevertedSlot): string {
  const batches = [...new Set(journey.reverts.map(({ batch }) => batch))];
  const ratios = batches.flatMap((batch) => {
    const cells = revertCellsOf(journey, slot, batch);
    const against = revertCellsOf(journey, undefined, batch);
    const comparison = compare(cells, against, metricsPerCpuSecond);
    return comparison ? [{ batch, ...comparison }] : [];
  });
  const of = (change: Change) => ratios.filter((ratio) => ratio.change === change);
  const texts = (['less', 'none', 'more'] as const).flatMap((change) =>
    of(change).length === 0 ? [] : [`${REVERT_TEXTS[change]}, ${inBatches(of(change))}`],
  );
  if (texts.length === 0) return '';
  const where = of('less').length === ratios.length ? '' : ` ${WHERE_IT_PAYS[slot]}`;
  return (
    `With the ${slot} reverted, metrics stored per CPU second against the last phase as it is: ${texts.join('; ')} ` +
    `metrics a request.${where}`
  );
}

export function revertSentences(journey: Journey): string[] {
  const slots = [...new Set(journey.reverts.flatMap(({ revert }) => revert ?? []))];
  return slots.map((slot) => revertSentence(journey, slot)).filter((text) => text !== '');
}
