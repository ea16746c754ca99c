/** All tables of the journey, by the name of their mark in docs/results/journey.md and docs/phases. */
import {
  factor,
  mebibytes,
  median,
  minToMax,
  number,
  percent,
  plural,
  whole,
  withRange,
} from '../report/numbers.ts';
import { originTable } from '../report/origin.ts';
import {
  type CellRow,
  type Column,
  markdownTables,
  type RangeText,
  type Table,
  tableOf,
} from '../report/table.ts';
import type { Cell, Journey } from './figures.ts';
import { type OpenCell, RATE_KINDS, type RateKind, type RevertedSlot, type Variant } from './plan.ts';
import {
  functionTable,
  isCompilingOrCollecting,
  profileTable,
  SLOT_SHARES,
  shareText,
} from './profile-tables.ts';
import { isThreadStart } from './stacks.ts';
import {
  answersOf,
  changeOf,
  clientsOf,
  cpuPerMillion,
  figureOf,
  headlinesOf,
  ladderCellsOf,
  metricsPerCpuSecond,
  openCellsOf,
  type Pick,
  phasesOf,
  profileOf,
  ratioOf,
  revertBatchesOf,
  revertCellsOf,
  revertVariantsOf,
  saturationOf,
  successShare,
  TARGET_FACTOR,
} from './summary.ts';

/** `5, ring telemetry`. */
export const phaseName = ({ phases }: Journey, phase: number | undefined): string =>
  `${phase}, ${phases.find((row) => row.number === phase)?.name ?? 'unknown'}`;

/** The number of the phase before; undefined for the first. */
const phaseBefore = ({ phases }: Journey, phase: number): number | undefined =>
  phases[phases.findIndex(({ number: own }) => own === phase) - 1]?.number;

/** The slot that a phase replaced, and by which implementation. */
function stepOf(journey: Journey, phase: number): { slot: RevertedSlot; text: string } | undefined {
  const { phases } = journey;
  const row = phases.find(({ number: own }) => own === phase);
  const before = phases.find(({ number: own }) => own === phaseBefore(journey, phase));
  if (!row || !before) return undefined;
  const slots = Object.keys(row.slots) as RevertedSlot[];
  const slot = slots.find((name) => row.slots[name] !== before.slots[name]);
  return slot && { slot, text: `${slot}: ${before.slots[slot]} → ${row.slots[slot]}` };
}

function variantText({ phase, revert }: Variant, { phases }: Journey): string {
  if (revert === undefined) return `phase ${phase} as it is`;
  const slots = phases.find((row) => row.number === phase)!.slots;
  const before = phases
    .filter((row) => row.number < phase)
    .findLast((row) => row.slots[revert] !== slots[revert]);
  return `${revert}: ${before?.slots[revert] ?? slots[revert]}`;
}

const stored: Pick = (f) => f.storedPerSecond;
const p50: Pick = (f) => f.p50Ms;
const p99: Pick = (f) => f.p99Ms;
const started: Pick = (f) => f.threadsStarted / f.seconds;
const peak: Pick = (f) => f.peakBytes;
const threads: Pick = (f) => f.threads;
const latencies = ({ cells }: CellRow<Cell>): string =>
  `${median(figureOf(cells, p50))} · ${median(figureOf(cells, p99))}`;

/** A column of a figure's median, unless `text` is another. */
const figure = (
  title: string,
  pick: Pick,
  format = number,
  text: RangeText = median,
): Column<CellRow<Cell>> => [title, ({ cells }) => text(figureOf(cells, pick), format)];

/** A figure of some cells: how it is picked, and how its number is shown. */
interface Figure {
  readonly title: string;
  readonly pick: Pick;
  readonly format?: (value: number) => string;
  /** Median only: rounds do not differ, or nobody asks how much. */
  readonly plain?: boolean;
}

const show = ({ pick, format = number, plain = false }: Figure, cells: readonly Cell[]): string =>
  (plain ? median : withRange)(figureOf(cells, pick), format);

interface PhaseRow extends CellRow<Cell> {
  readonly phase: number;
  readonly before: readonly Cell[];
  readonly clients: number;
}

function saturationRows(journey: Journey): PhaseRow[] {
  return phasesOf(journey).flatMap((phase) => {
    const own = saturationOf(journey.ladder, phase);
    const before = saturationOf(journey.ladder, phaseBefore(journey, phase))?.cells ?? [];
    return own ? [{ phase, cells: own.cells, clients: own.clients, before }] : [];
  });
}

function saturationTable(journey: Journey): Table {
  const first = saturationOf(journey.ladder, 0)?.cells ?? [];
  const columns: Column<PhaseRow>[] = [
    ['phase', ({ phase }) => phaseName(journey, phase)],
    figure('metrics/s stored', stored),
    figure('spread', stored, number, minToMax),
    ['× phase before', ({ cells, before }) => withRange(ratioOf(cells, before, stored), factor)],
    ['× phase 0', ({ phase, cells }) => (phase === 0 ? '–' : median(ratioOf(cells, first, stored), factor))],
    ['at clients', ({ clients }) => String(clients)],
    figure('2xx', successShare, percent),
    figure('p50 ms', p50),
    figure('p99 ms', p99),
    figure('CPU s/million metrics', cpuPerMillion, number, withRange),
    figure('peak MiB', peak, mebibytes),
    figure('threads', threads, whole),
    figure('started/s', started),
  ];
  return tableOf(columns, saturationRows(journey));
}

/** Each step's gain, the share of its work in the phase before, and the share that starting threads takes. */
function stepTable(journey: Journey): Table {
  const rows = saturationRows(journey).flatMap((row) => {
    const step = stepOf(journey, row.phase);
    return step && row.before.length > 0 ? [{ ...row, ...step }] : [];
  });
  type Step = (typeof rows)[number];
  const columns: Column<Step>[] = [
    ['phase', ({ phase }) => String(phase)],
    ['replaced', ({ text }) => text],
    ['metrics stored, ratio', ({ cells, before }) => withRange(ratioOf(cells, before, stored), factor)],
    ['', ({ cells, before }) => changeOf(cells, before, stored)],
    ['CPU a metric, ratio', ({ cells, before }) => withRange(ratioOf(cells, before, cpuPerMillion), factor)],
    [
      'share of the replaced work before',
      ({ phase, slot }) => {
        const work = SLOT_SHARES[slot];
        return work
          ? shareText(profileOf(journey, phaseBefore(journey, phase)), (name) => name === work)
          : '–';
      },
    ],
    ['starting and ending threads', ({ phase }) => shareText(profileOf(journey, phase), isThreadStart)],
    [
      'compiling, collecting garbage',
      ({ phase }) => shareText(profileOf(journey, phase), isCompilingOrCollecting),
    ],
  ];
  return tableOf(columns, rows);
}

/** One figure of every rung: phases × clients. */
function ladderTable(journey: Journey, text: (cells: readonly Cell[]) => string): Table {
  const columns = clientsOf(journey).map(
    (clients): Column<number> => [
      plural(clients, 'client'),
      (phase) => text(ladderCellsOf(journey, phase, clients)),
    ],
  );
  return tableOf([['phase', (phase) => phaseName(journey, phase)], ...columns], phasesOf(journey));
}

const LADDER: Readonly<Record<string, (cells: readonly Cell[]) => string>> = {
  'ladder-stored': (cells) => withRange(figureOf(cells, stored)),
  'ladder-success': (cells) => median(figureOf(cells, successShare), percent),
  'ladder-latency': (cells) => latencies({ cells }),
  'ladder-cpu': (cells) => median(figureOf(cells, cpuPerMillion)),
  'ladder-memory': (cells) =>
    [
      median(figureOf(cells, peak), mebibytes),
      median(figureOf(cells, threads), whole),
      median(figureOf(cells, started)),
    ].join(' · '),
};

const rateOf = (load: OpenCell): string => `${number(load.ratePerSecond)}/s`;

interface OpenRow extends CellRow<Cell> {
  readonly phase: number;
  readonly load: OpenCell;
}

function openRows(journey: Journey, rateKind: RateKind): OpenRow[] {
  return phasesOf(journey).flatMap((phase) => {
    const cells = openCellsOf(journey, phase, rateKind);
    const load = cells[0]?.load;
    return load?.kind === 'open' ? [{ phase, load, cells }] : [];
  });
}

function openTable(journey: Journey, rateKind: RateKind): Table {
  const columns: Column<OpenRow>[] = [
    ['phase', ({ phase }) => phaseName(journey, phase)],
    ['offered', ({ load }) => rateOf(load)],
    figure('answers a cell', answersOf, whole),
    figure('2xx', successShare, percent, withRange),
    figure('metrics/s stored', stored),
    figure('p50 ms', p50),
    figure('p99 ms (spread)', p99, number, withRange),
    [
      'unsent',
      ({ cells }) =>
        median(
          figureOf(cells, (f) => f.unsent / Math.max(1, f.intended)),
          percent,
        ),
    ],
    figure("late by the generator's fault", (f) => (f.sent === 0 ? 0 : f.lateByGenerator / f.sent), percent),
    [
      'generator at its limit',
      ({ cells }) => (cells.some(({ figures }) => figures.generatorIsBottleneck) ? 'yes' : 'no'),
    ],
  ];
  return tableOf(columns, openRows(journey, rateKind));
}

interface RevertRow extends CellRow<Cell> {
  readonly variant: Variant;
  /** The same phase as it is. */
  readonly complete: readonly Cell[];
}

const against = ({ variant, cells, complete }: RevertRow, pick: Pick): string =>
  variant.revert === undefined ? '–' : withRange(ratioOf(cells, complete, pick), factor);

function revertTable(journey: Journey, batch: number): Table {
  const columns: Column<RevertRow>[] = [
    ['phase, or reverted slot', ({ variant }) => variantText(variant, journey)],
    figure('thousand metrics/CPU s', (f) => metricsPerCpuSecond(f) / 1e3),
    ['ratio (spread)', (row) => against(row, metricsPerCpuSecond)],
    [
      '',
      ({ variant, cells, complete }) =>
        variant.revert === undefined ? '' : changeOf(cells, complete, metricsPerCpuSecond),
    ],
    figure('metrics/s stored', stored),
    ['ratio (spread)', (row) => against(row, stored)],
    figure('2xx', successShare, percent),
    ['p50 · p99 ms', latencies],
  ];
  const rows = revertVariantsOf(journey).map((variant) => ({
    variant,
    cells: revertCellsOf(journey, variant, batch),
    complete: revertCellsOf(journey, { phase: variant.phase }, batch),
  }));
  return tableOf(columns, rows);
}

const SATURATED: readonly Figure[] = [
  { title: 'metrics stored a second', pick: stored },
  { title: '2xx of all answers', pick: successShare, format: percent, plain: true },
  { title: 'p50, ms', pick: p50 },
  { title: 'p99, ms', pick: p99 },
  { title: 'CPU seconds per million metrics', pick: cpuPerMillion },
  { title: 'peak resident memory, MiB', pick: peak, format: mebibytes },
  { title: 'threads at once, at most', pick: threads, format: whole, plain: true },
  { title: 'threads started a second', pick: started, plain: true },
];
/** At phase 0's saturation rate. */
const OPEN = SATURATED.filter(({ pick }) => [successShare, p50, p99].includes(pick));

/** One phase beside the one before it. */
function phaseTable(journey: Journey, { phase, cells, before, clients }: PhaseRow): Table {
  const row = (prefix: string, line: Figure, own: readonly Cell[], earlier: readonly Cell[]): string[] => [
    `${prefix}${line.title}`,
    show(line, earlier),
    show(line, own),
    line.plain ? '' : withRange(ratioOf(own, earlier, line.pick), factor),
  ];
  const previous = phaseBefore(journey, phase);
  const rows = SATURATED.map((line) => row('', line, cells, before));
  const earlierClients = saturationOf(journey.ladder, previous)?.clients;
  rows.splice(1, 0, ['at clients', String(earlierClients), String(clients), '']);
  const open = openCellsOf(journey, phase, 'baseline');
  const load = open[0]?.load;
  if (load?.kind === 'open') {
    const earlier = openCellsOf(journey, previous, 'baseline');
    rows.push(...OPEN.map((line) => row(`at a constant ${rateOf(load)}: `, line, open, earlier)));
  }
  const head = ['', `phase ${phaseName(journey, previous)}`, `phase ${phaseName(journey, phase)}`, 'ratio'];
  if (before.length > 0) return { head, rows };
  const alone = (row: readonly string[]): string[] => [row[0]!, row[2]!];
  return { head: alone(head), rows: rows.map(alone) };
}

function originBlock(journey: Journey): string {
  const { rounds, seconds, warmUpSeconds, batch, openClients, serverArgs, reverts, profiles, profiled } =
    journey;
  const [profile] = profiles;
  return originTable(journey, {
    rounds,
    'a cell': `${warmUpSeconds} s warm-up, ${seconds} s load`,
    server: `\`serve ${serverArgs.join(' ')}\``,
    'ladder, constant rates': `${batch} metrics a request; constant rates over ${openClients} connections`,
    ...(reverts[0] ? { 'reverted slots': `${reverts[0].load.clients} clients, closed loop` } : {}),
    ...(profile
      ? { profiles: `by ${profile.tool}, ${profile.clients} clients, ${profile.batch} metrics a request` }
      : {}),
    ...(profiled
      ? { 'profiles from': `\`${profiled.command}\`, ${profiled.machine}; ${profiled.date}` }
      : {}),
  });
}

function headlineTable(journey: Journey): Table {
  return tableOf(
    [
      ['last phase against phase 0', ({ figure }) => figure],
      ['phase 0', ({ first }) => withRange(first)],
      ['last phase', ({ last }) => withRange(last)],
      ['times better', ({ ratio }) => withRange(ratio, factor)],
      ['target', () => `≥ ${TARGET_FACTOR}×`],
      ['', ({ met }) => (met ? 'met' : 'MISSED')],
    ],
    headlinesOf(journey),
  );
}

/** All blocks that the run has figures for. */
export function journeyBlocks(journey: Journey): Record<string, string> {
  const tables: Record<string, Table> = { headlines: headlineTable(journey) };
  for (const batch of revertBatchesOf(journey)) tables[`reverted-${batch}`] = revertTable(journey, batch);
  tables.saturation = saturationTable(journey);
  tables.steps = stepTable(journey);
  for (const [name, text] of Object.entries(LADDER)) tables[name] = ladderTable(journey, text);
  for (const kind of RATE_KINDS) tables[`rate-${kind}`] = openTable(journey, kind);
  tables.profiles = profileTable(journey);
  tables.functions = functionTable(journey);
  for (const row of saturationRows(journey)) tables[`phase-${row.phase}`] = phaseTable(journey, row);
  const filled = Object.entries(tables).filter(([, { rows }]) => rows.length > 0);
  return {
    origin: originBlock(journey),
    ...markdownTables(Object.fromEntries(filled)),
  };
}
