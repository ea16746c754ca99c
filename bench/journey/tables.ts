/** The tables of the report, as head and rows: Markdown and HTML show the same. */
import type { Cell, Journey, ProfileShare, RateKind, RevertedSlot } from './figures.ts';
import {
  answersOf,
  clientsOf,
  cpuPerMillion,
  figureOf,
  ladderCellsOf,
  metricsPerCpuSecond,
  openCellsOf,
  phasesOf,
  ratioOf,
  revertCellsOf,
  saturationOf,
  successShare,
} from './summary.ts';
import {
  factor,
  mebibytes,
  median,
  medianAndRange,
  number,
  percent,
  phaseName,
  range,
  rateOf,
  stepText,
  variantText,
  whole,
} from './text.ts';

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const startedText = (cells: readonly Cell[]): string => {
  const started = figureOf(cells, (f) => f.threadsStarted / f.seconds);
  return started === undefined || started.max === 0 ? '0' : median(started);
};

export function saturationTable(journey: Journey): Table {
  const first = saturationOf(journey.ladder, 0);
  const rows = phasesOf(journey).flatMap((phase) => {
    const own = saturationOf(journey.ladder, phase);
    if (own === undefined) return [];
    const { cells } = own;
    const before = saturationOf(journey.ladder, phase - 1);
    const stored = (f: { storedPerSecond: number }): number => f.storedPerSecond;
    return [
      [
        phaseName(journey, phase),
        stepText(journey, phase),
        median(own.storedPerSecond),
        range(own.storedPerSecond),
        before ? medianAndRange(ratioOf(cells, before.cells, stored), factor) : '',
        first && phase !== 0 ? median(ratioOf(cells, first.cells, stored), factor) : '',
        String(own.clients),
        median(figureOf(cells, successShare), percent),
        median(figureOf(cells, (f) => f.p50Ms)),
        median(figureOf(cells, (f) => f.p99Ms)),
        medianAndRange(figureOf(cells, cpuPerMillion)),
        median(
          figureOf(cells, (f) => f.peakBytes),
          mebibytes,
        ),
        median(
          figureOf(cells, (f) => f.threads),
          whole,
        ),
        startedText(cells),
      ],
    ];
  });
  return {
    head: [
      'phase',
      'replaced',
      'metrics/s stored',
      'spread',
      '× phase before',
      '× phase 0',
      'at clients',
      '2xx',
      'p50 ms',
      'p99 ms',
      'CPU s/million metrics',
      'peak MiB',
      'threads',
      'started/s',
    ],
    rows,
  };
}

/** One figure of every rung: phases × clients. */
export function ladderTable(journey: Journey, show: (cells: readonly Cell[]) => string): Table {
  const clients = clientsOf(journey);
  return {
    head: ['phase', ...clients.map((count) => `${count} clients`)],
    rows: phasesOf(journey).map((phase) => [
      phaseName(journey, phase),
      ...clients.map((count) => show(ladderCellsOf(journey, phase, count))),
    ]),
  };
}

export const ladderFigures: readonly {
  readonly title: string;
  readonly show: (cells: readonly Cell[]) => string;
}[] = [
  {
    title: 'Metrics stored a second (spread)',
    show: (cells) => medianAndRange(figureOf(cells, (f) => f.storedPerSecond)),
  },
  { title: 'Share of 2xx in all answers', show: (cells) => median(figureOf(cells, successShare), percent) },
  {
    title: 'p50 · p99 of 2xx answers, ms',
    show: (cells) =>
      `${median(figureOf(cells, (f) => f.p50Ms))} · ${median(figureOf(cells, (f) => f.p99Ms))}`,
  },
  {
    title: 'CPU seconds per million metrics stored',
    show: (cells) => median(figureOf(cells, cpuPerMillion)),
  },
  {
    title: 'Peak resident MiB · most threads at once · threads started a second',
    show: (cells) =>
      `${median(
        figureOf(cells, (f) => f.peakBytes),
        mebibytes,
      )} · ${median(
        figureOf(cells, (f) => f.threads),
        whole,
      )} · ${startedText(cells)}`,
  },
];

export function openTable(journey: Journey, rateKind: RateKind): Table {
  const rows = phasesOf(journey).flatMap((phase) => {
    const cells = openCellsOf(journey, phase, rateKind);
    const load = cells[0]?.load;
    if (load?.kind !== 'open') return [];
    const late = figureOf(cells, (f) => (f.sent === 0 ? 0 : f.lateByGenerator / f.sent));
    const busy = cells.some(({ figures }) => figures.generatorIsBottleneck);
    return [
      [
        phaseName(journey, phase),
        rateOf(load),
        median(figureOf(cells, answersOf), whole),
        medianAndRange(figureOf(cells, successShare), percent),
        median(figureOf(cells, (f) => f.storedPerSecond)),
        median(figureOf(cells, (f) => f.p50Ms)),
        medianAndRange(figureOf(cells, (f) => f.p99Ms)),
        median(
          figureOf(cells, (f) => f.unsent / Math.max(1, f.intended)),
          percent,
        ),
        `${median(late, percent)}${busy ? ' (at its limit)' : ''}`,
      ],
    ];
  });
  return {
    head: [
      'phase',
      'offered',
      'answers a cell',
      '2xx',
      'metrics/s stored',
      'p50 ms',
      'p99 ms (spread)',
      'unsent',
      "late by the generator's doing",
    ],
    rows,
  };
}

export const revertSlotsOf = ({ reverts }: Journey): (RevertedSlot | undefined)[] => [
  ...new Set(reverts.map(({ revert }) => revert)),
];

export const revertBatchesOf = ({ reverts }: Journey): number[] => [
  ...new Set(reverts.map(({ batch }) => batch)),
];

export function revertTable(journey: Journey, batch: number): Table {
  const phase = journey.phases.at(-1)!.number;
  const whole = revertCellsOf(journey, undefined, batch);
  const rows = revertSlotsOf(journey).map((revert) => {
    const cells = revertCellsOf(journey, revert, batch);
    const against = (pick: Parameters<typeof ratioOf>[2]): string =>
      revert === undefined ? '' : medianAndRange(ratioOf(cells, whole, pick), factor);
    return [
      variantText({ phase, ...(revert && { revert }) }, journey),
      median(figureOf(cells, (f) => metricsPerCpuSecond(f) / 1e3)),
      against(metricsPerCpuSecond),
      median(figureOf(cells, (f) => f.storedPerSecond)),
      against((f) => f.storedPerSecond),
      median(figureOf(cells, successShare), percent),
      `${median(figureOf(cells, (f) => f.p50Ms))} · ${median(figureOf(cells, (f) => f.p99Ms))}`,
    ];
  });
  return {
    head: [
      '',
      'thousand metrics/CPU s',
      'relative (spread)',
      'metrics/s stored',
      'relative (spread)',
      '2xx',
      'p50 · p99 ms',
    ],
    rows,
  };
}

const shareNames = ({ profiles }: Journey): string[] => {
  const largest = new Map<string, number>();
  for (const { name, share } of profiles.flatMap(({ shares }): readonly ProfileShare[] => shares)) {
    largest.set(name, Math.max(largest.get(name) ?? 0, share));
  }
  return [...largest].sort((a, b) => b[1] - a[1]).map(([name]) => name);
};

export function profileTable(journey: Journey): Table {
  const { profiles } = journey;
  const name = ({ phase, revert }: (typeof profiles)[number]): string =>
    revert === undefined ? `phase ${phase}` : `${phase}, ${revert} reverted`;
  const row = (title: string, show: (profile: (typeof profiles)[number]) => string): string[] => [
    title,
    ...profiles.map(show),
  ];
  return {
    head: ['share of the CPU time', ...profiles.map(name)],
    rows: [
      ...shareNames(journey).map((share) =>
        row(share, ({ shares }) => {
          const own = shares.find((candidate) => candidate.name === share);
          return own === undefined ? '' : percent(own.share);
        }),
      ),
      row('time in which it waited: for requests, the disk or the core', ({ idleShare }) =>
        percent(idleShare),
      ),
      row('metrics/s stored under the profiler', ({ storedPerSecond }) => number(storedPerSecond)),
    ],
  };
}
