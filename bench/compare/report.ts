/** Medians, spreads, ratios and targets of a run, as text for people and as data. */
import { type CellResult, SERVER_LABELS, SERVERS, type ServerName } from './cell.ts';

export interface RunInfo {
  readonly command: string;
  readonly machine: string;
  readonly date: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  /** Digest of the bodies of each batch size. */
  readonly workloads: readonly { batch: number; meanBodyBytes: number; digest: string }[];
}

export interface RoundResult extends CellResult {
  readonly round: number;
}

interface Target {
  readonly server: ServerName;
  readonly batch: number;
  readonly against: ServerName;
  readonly atLeast: number;
}

const TARGETS: readonly Target[] = [
  { server: 'written', batch: 1, against: 'bare', atLeast: 0.75 },
  { server: 'synced', batch: 1, against: 'bare', atLeast: 0.6 },
  { server: 'written', batch: 100, against: 'fastify', atLeast: 4 },
  { server: 'synced', batch: 100, against: 'fastify', atLeast: 4 },
  { server: 'written', batch: 1_000, against: 'fastify', atLeast: 4 },
  { server: 'synced', batch: 1_000, against: 'fastify', atLeast: 4 },
];

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface RatioResult extends Target {
  readonly ratio: Spread;
  readonly met: boolean;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  const high = sorted[Math.ceil((sorted.length - 1) / 2)] ?? Number.NaN;
  return { median: (low + high) / 2, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

function cellsOf(results: readonly RoundResult[], server: ServerName, batch: number): RoundResult[] {
  return results.filter((result) => result.server === server && result.batch === batch);
}

/** Ratios of metrics per CPU second, each within one round; targets whose cells were not measured are left out. */
export function ratiosOf(results: readonly RoundResult[]): RatioResult[] {
  return TARGETS.flatMap((target) => {
    const others = cellsOf(results, target.against, target.batch);
    const ratios = cellsOf(results, target.server, target.batch).flatMap((own) => {
      const other = others.find(({ round }) => round === own.round);
      return other === undefined ? [] : [own.metricsPerCpuSecond / other.metricsPerCpuSecond];
    });
    if (ratios.length === 0) return [];
    const ratio = spreadOf(ratios);
    return [{ ...target, ratio, met: ratio.median >= target.atLeast }];
  });
}

function thousands(value: number): string {
  const scaled = value / 1e3;
  return scaled.toFixed(scaled < 100 ? 1 : 0);
}

const HEAD = [
  'server',
  'metrics/CPU s (thousand)',
  'spread',
  'requests/CPU s (thousand)',
  'CPU s/million metrics',
  'requests/s (thousand)',
  'p50 ms',
  'p99 ms',
  'RSS MiB (peak)',
] as const;

function row(server: ServerName, cells: readonly CellResult[]): string[] {
  const of = (pick: (cell: CellResult) => number): Spread => spreadOf(cells.map(pick));
  const metrics = of((cell) => cell.metricsPerCpuSecond);
  const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  const refused = Math.max(...cells.map((cell) => cell.refused / (cell.accepted + cell.refused)));
  const remark = refused > 0 ? ` (up to ${(refused * 100).toFixed(1)}% refused)` : '';
  return [
    `${SERVER_LABELS[server]}${remark}`,
    thousands(metrics.median),
    `${thousands(metrics.min)}–${thousands(metrics.max)}`,
    thousands(of((cell) => cell.requestsPerCpuSecond).median),
    (1e6 / metrics.median).toFixed(3),
    thousands(of((cell) => cell.requestsPerSecond).median),
    of((cell) => cell.p50Ms).median.toFixed(2),
    of((cell) => cell.p99Ms).median.toFixed(2),
    `${mebibytes(of((cell) => cell.residentBytes).median)} (${mebibytes(of((cell) => cell.peakBytes).max)})`,
  ];
}

/** A Markdown table whose columns line up as plain text. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

function ratioRow({ server, batch, against, atLeast, ratio, met }: RatioResult): string[] {
  return [
    SERVER_LABELS[server],
    String(batch),
    SERVER_LABELS[against],
    `${ratio.median.toFixed(2)}×`,
    `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`,
    `≥ ${atLeast}`,
    met ? 'pass' : 'MISS',
  ];
}

/** The whole report as Markdown. */
export function report(
  info: RunInfo,
  results: readonly RoundResult[],
  notes: readonly string[] = [],
): string {
  const parts = [
    `Command: \`${info.command}\``,
    `Machine: ${info.machine}; ${info.date}`,
    `${info.rounds} rounds in turns, ${info.seconds} s each after a warm-up, ${info.connections} connections; ` +
      'server (all its threads) and wrk pinned to one core each. Medians; CPU seconds are those of the whole ' +
      'server process, from the operating system.',
    ...notes,
  ];
  for (const { batch, meanBodyBytes, digest } of info.workloads) {
    const rows = SERVERS.flatMap((server) => {
      const cells = cellsOf(results, server, batch);
      return cells.length === 0 ? [] : [row(server, cells)];
    });
    if (rows.length === 0) continue;
    const title = `${batch} ${batch === 1 ? 'metric' : 'metrics'} a request`;
    parts.push(
      `## ${title}`,
      `Bodies of ${meanBodyBytes.toFixed(0)} bytes, digest ${digest}.`,
      table(HEAD, rows),
    );
  }
  const ratios = ratiosOf(results);
  if (ratios.length > 0) {
    parts.push(
      '## Ratios of metrics per CPU second',
      'Each within one round; median and spread.',
      table(
        ['server', 'metrics a request', 'against', 'ratio', 'spread', 'target', ''],
        ratios.map(ratioRow),
      ),
    );
  }
  return `${parts.join('\n\n')}\n`;
}
