/** The `--peers` report. Every sentence around the figures is made from them, or holds whatever they are. */
import { CONTENDER, CONTENDERS, type ContenderName } from './contenders.ts';
import type { KillResult } from './kill.ts';
import type { PeerCellResult } from './peer-cell.ts';
import { type Spread, spreadOf, table } from './report.ts';

export interface PeersInfo {
  readonly command: string;
  readonly machine: string;
  readonly date: string;
  /** Program and version of each peer. */
  readonly versions: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly kills: number;
  readonly connections: number;
  readonly workloads: readonly {
    batch: number;
    series: number;
    digest: string;
    /** Mean body of each encoding. */
    bodyBytes: Readonly<Record<string, number>>;
  }[];
}

export interface PeerRound extends PeerCellResult {
  readonly round: number;
}

export interface PeersResults {
  readonly cells: readonly PeerRound[];
  readonly kills: readonly KillResult[];
  readonly failures: readonly string[];
}

const OURS = ['written', 'synced'] as const satisfies readonly ContenderName[];

function isOurs(server: ContenderName): boolean {
  return server === 'written' || server === 'synced';
}

function of<T extends { server: ContenderName; batch: number }>(
  all: readonly T[],
  server: ContenderName,
  batch: number,
): T[] {
  return all.filter((result) => result.server === server && result.batch === batch);
}

function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

function thousands(value: number): string {
  const scaled = value / 1e3;
  return scaled.toFixed(scaled < 100 ? 1 : 0);
}

function times(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
const milliseconds = (value: number): string => value.toFixed(value < 100 ? 2 : 0);
const seconds = (value: number): string => value.toFixed(value < 0.1 ? 3 : 1);
const bytesPerMetric = ({ diskBytes, kept }: PeerCellResult): number => diskBytes / kept;

/** How many times more metrics per CPU second one has than the other, each within a round. */
function ratioOf(
  cells: readonly PeerRound[],
  batch: number,
  server: ContenderName,
  against: ContenderName,
): Spread | undefined {
  const others = of(cells, against, batch);
  const ratios = of(cells, server, batch).flatMap((cell) => {
    const other = others.find(({ round }) => round === cell.round);
    return other === undefined ? [] : [cell.metricsPerCpuSecond / other.metricsPerCpuSecond];
  });
  return ratios.length === 0 ? undefined : spreadOf(ratios);
}

function ratioCell(cells: readonly PeerRound[], batch: number, ours: ContenderName, server: ContenderName) {
  const ratio = ours === server ? undefined : ratioOf(cells, batch, ours, server);
  if (ratio === undefined) return '–';
  return `${ratio.median.toFixed(2)}× (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
}

/** "all", or how many metrics too few or too many in the worst round. */
export function keptText(cells: readonly PeerCellResult[]): string {
  const off = cells.map(({ kept, keptAtLeast, keptAtMost }) => {
    if (kept < keptAtLeast) return kept - keptAtLeast;
    return Math.max(0, kept - keptAtMost);
  });
  const worst = off.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  if (worst === 0) return 'all';
  return worst < 0 ? `${count(-worst)} MISSING` : `${count(worst)} TOO MANY`;
}

export function lossText(kills: readonly KillResult[]): string {
  if (kills.length === 0) return '–';
  const most = Math.max(...kills.map(({ lost }) => lost));
  if (most === 0) return 'none';
  const oldest = Math.max(...kills.map(({ lostSeconds }) => lostSeconds));
  return `up to ${count(most)}, the last ${seconds(oldest)} s`;
}

const HEAD = [
  'server',
  'metrics/CPU s (thousand)',
  'spread',
  'written ÷ it',
  'synced ÷ it',
  'metrics/s (thousand)',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'RSS MiB (peak)',
  'disk bytes/metric',
  'kept',
  'lost after kill -9',
] as const;

function row({ cells, kills }: PeersResults, server: ContenderName, batch: number): string[] {
  const own = of(cells, server, batch);
  const median = (pick: (cell: PeerRound) => number): number => spreadOf(own.map(pick)).median;
  const rate = spreadOf(own.map((cell) => cell.metricsPerCpuSecond));
  const failed = own.reduce((sum, { failedRequests }) => sum + failedRequests, 0);
  const peak = Math.max(...own.map(({ peakBytes }) => peakBytes));
  return [
    `${CONTENDER[server].label}${failed > 0 ? ` (${count(failed)} requests failed)` : ''}`,
    thousands(rate.median),
    `${thousands(rate.min)}–${thousands(rate.max)}`,
    ...OURS.map((ours) => ratioCell(cells, batch, ours, server)),
    thousands(median((cell) => cell.metricsPerSecond)),
    milliseconds(median((cell) => cell.p50Ms)),
    milliseconds(median((cell) => cell.p99Ms)),
    milliseconds(median((cell) => cell.p999Ms)),
    `${mebibytes(median((cell) => cell.residentBytes))} (${mebibytes(peak)})`,
    median(bytesPerMetric).toFixed(1),
    keptText(own),
    lossText(of(kills, server, batch)),
  ];
}

interface Figure {
  readonly title: string;
  readonly better: 'more' | 'less';
  value(results: PeersResults, server: ContenderName, batch: number): number;
  text(value: number): string;
}

function cellFigure(
  title: string,
  better: Figure['better'],
  pick: (cell: PeerRound) => number,
  text: (value: number) => string,
): Figure {
  const value = ({ cells }: PeersResults, server: ContenderName, batch: number): number =>
    spreadOf(of(cells, server, batch).map(pick)).median;
  return { title, better, value, text };
}

const FIGURES: readonly Figure[] = [
  cellFigure('thousand metrics per CPU second', 'more', (cell) => cell.metricsPerCpuSecond, thousands),
  cellFigure('p50 ms', 'less', (cell) => cell.p50Ms, milliseconds),
  cellFigure('p99 ms', 'less', (cell) => cell.p99Ms, milliseconds),
  cellFigure('p99.9 ms', 'less', (cell) => cell.p999Ms, milliseconds),
  cellFigure('resident MiB', 'less', (cell) => cell.residentBytes, mebibytes),
  cellFigure('bytes on disk per metric', 'less', bytesPerMetric, (value) => value.toFixed(1)),
  {
    title: 'acknowledged metrics lost after a kill, at most',
    better: 'less',
    value: ({ kills }, server, batch) => Math.max(...of(kills, server, batch).map(({ lost }) => lost)),
    text: count,
  },
];

interface Standing {
  readonly behind: number;
  readonly cells: string[];
}

/** One figure at one batch size: MetricsStream under both acknowledgements beside the best of the others. */
function standing(results: PeersResults, figure: Figure, batch: number): Standing | undefined {
  const value = (server: ContenderName) => figure.value(results, server, batch);
  const isBetter = (a: number, b: number) => (figure.better === 'more' ? a > b : a < b);
  const others = CONTENDERS.filter((server) => !isOurs(server) && Number.isFinite(value(server)));
  const [first, ...rest] = others;
  if (first === undefined || !OURS.every((server) => Number.isFinite(value(server)))) return undefined;
  const best = rest.reduce((a, b) => (isBetter(value(b), value(a)) ? b : a), first);
  const behind = OURS.filter((server) => isBetter(value(best), value(server)));
  const factor = (server: ContenderName): string => {
    const [a, b] = [value(server), value(best)];
    if (Math.min(a, b) === 0) return '';
    const ratio = Math.max(a, b) / Math.min(a, b);
    return ` (${ratio.toFixed(ratio < 2 ? 2 : 1)}× ${isBetter(b, a) ? 'worse' : 'better'})`;
  };
  return {
    behind: behind.length,
    cells: [
      String(batch),
      figure.title,
      CONTENDER[best].label,
      figure.text(value(best)),
      ...OURS.map((server) => `${figure.text(value(server))}${factor(server)}`),
    ],
  };
}

const STANDING_HEAD = ['metrics a request', 'figure', 'best of the others', 'its', 'written', 'synced'];

function standings(info: PeersInfo, results: PeersResults): string[] {
  const all = FIGURES.flatMap((figure) =>
    info.workloads.flatMap(({ batch }) => standing(results, figure, batch) ?? []),
  );
  const behind = all.filter((one) => one.behind > 0);
  const ahead = all.filter((one) => one.behind === 0);
  const both = behind.filter((one) => one.behind === OURS.length).length;
  if (all.length === 0) return [];
  return [
    '## Where MetricsStream loses',
    `Against whichever other server is best at it, MetricsStream is behind in ${behind.length} of ` +
      `${all.length} comparisons, in ${both} of them under both acknowledgements. Every difference of ` +
      'medians counts here, however small; the spread is in the tables further down.',
    ...(behind.length > 0
      ? [
          table(
            STANDING_HEAD,
            behind.map(({ cells }) => cells),
          ),
        ]
      : []),
    'No table shows the largest difference: VictoriaMetrics and InfluxDB index series, answer queries, aggregate, ' +
      'compress and expire. Their CPU time pays for that, their bytes on disk gain from it. MetricsStream and the ' +
      'Fastify server keep plain lines, which a query has to read from one end to the other. The databases store ' +
      'no metric type.',
    ...(ahead.length > 0
      ? [
          '## Where it does not',
          table(
            STANDING_HEAD,
            ahead.map(({ cells }) => cells),
          ),
        ]
      : []),
  ];
}

function killTable({ workloads }: PeersInfo, { kills }: PeersResults): string {
  const rows = workloads.flatMap(({ batch }) =>
    CONTENDERS.flatMap((server) => {
      const own = of(kills, server, batch);
      if (own.length === 0) return [];
      const sum = (pick: (kill: KillResult) => number) => own.reduce((total, kill) => total + pick(kill), 0);
      const most = (pick: (kill: KillResult) => number) => Math.max(...own.map(pick));
      return [
        [
          CONTENDER[server].label,
          String(batch),
          own.map((kill) => kill.seconds.toFixed(1)).join(', '),
          count(sum(({ acknowledged }) => acknowledged)),
          count(sum(({ lost }) => lost)),
          own.map(({ lost, lostSeconds }) => (lost > 0 ? seconds(lostSeconds) : '–')).join(', '),
          count(sum(({ torn }) => torn)),
          seconds(most(({ restartSeconds }) => restartSeconds)),
        ],
      ];
    }),
  );
  const head = ['server', 'metrics a request', 'killed after s', 'acknowledged', 'lost', 'the last … s lost'];
  return table([...head, 'requests kept in part', 'restart s, at most'], rows);
}

function acknowledgements({ kills }: PeersResults, servers: readonly ContenderName[]): string {
  return table(
    ['server', 'an ack means', 'lost after kill -9, any batch size'],
    servers.map((server) => [
      CONTENDER[server].label,
      CONTENDER[server].acknowledgement,
      lossText(kills.filter((kill) => kill.server === server)),
    ]),
  );
}

function effort({ cells }: PeersResults, servers: readonly ContenderName[]): string {
  const rows = servers.map((server) => {
    const own = cells.filter((cell) => cell.server === server);
    const share = spreadOf(own.map((cell) => (cell.deferredCpuSeconds / cell.cpuSeconds) * 100));
    return [
      CONTENDER[server].label,
      (CONTENDER[server].quietMs / 1e3).toFixed(0),
      seconds(Math.max(...own.map(({ deferredSeconds }) => deferredSeconds))),
      `${share.median.toFixed(0)}% (${share.max.toFixed(0)}%)`,
      `${(Math.max(...own.map(({ wrkBusy }) => wrkBusy)) * 100).toFixed(0)}%`,
    ];
  });
  const head = ['server', 'quiet for s', 'worked on for s, at most', 'share of its CPU time (at most)'];
  return table([...head, 'wrk busy, at most'], rows);
}

/** The whole report as Markdown. */
export function peersReport(info: PeersInfo, results: PeersResults): string {
  const servers = CONTENDERS.filter((name) => results.cells.some(({ server }) => server === name));
  const parts = [
    '# Beside what users would pick instead',
    `Command: \`${info.command}\``,
    `Machine: ${info.machine}; ${info.date}. ${info.versions.join(', ')}.`,
    `${times(info.rounds, 'round')} in turns, ${info.seconds} s each after a warm-up, ${info.connections} connections; ` +
      `${times(info.kills, 'kill')} of each. Every server gets the same series, timestamps and values, in its natural ` +
      'format, pinned to one core, wrk to the other; a fresh process and directory for each cell. Medians; CPU ' +
      'seconds are those of the whole process, work put off included. What the columns are, and how the load is ' +
      'made: [benchmarking](../benchmarking.md#beside-other-databases---peers).',
    ...results.failures.map((failure) => `FAILED ${failure}`),
    ...standings(info, results),
  ];
  for (const { batch, series, digest, bodyBytes } of info.workloads) {
    const rows = servers
      .filter((server) => of(results.cells, server, batch).length > 0)
      .map((server) => row(results, server, batch));
    if (rows.length === 0) continue;
    const bytes = Object.entries(bodyBytes).map(([title, value]) => `${title} ${count(value)}`);
    parts.push(
      `## ${batch} ${batch === 1 ? 'metric' : 'metrics'} a request`,
      `${count(series)} series, digest ${digest}; mean body in bytes: ${bytes.join(', ')}.`,
      table(HEAD, rows),
    );
  }
  parts.push(
    '## What an acknowledgement was worth',
    'The same load, from a client that notes when each request was acknowledged; `kill -9` in the middle of it; a ' +
      'restart on what is left; every metric of every acknowledged request looked for. The load before the kill is ' +
      'longer where a server writes later. Power loss was not tried: it takes what was not synced, too.',
    acknowledgements(results, servers),
    killTable(info, results),
    '## What was waited for',
    'After each load until neither CPU time nor files had changed for as long as the second column says, which is ' +
      "longer than the server's background timers. The CPU time of that work is in the figures above. wrk's own " +
      'core is the last column: near 100% wrk would be the limit, which metrics per CPU second do not feel, but ' +
      'metrics/s do.',
    effort(results, servers),
    '## How each was run',
    servers.map((server) => `- ${CONTENDER[server].label}: ${CONTENDER[server].configuration}`).join('\n'),
    '## What this leaves out',
    '- One core each. More cores help the databases, and MetricsStream.\n' +
      '- Few series, each written often: kind to databases, whose cost grows with the number of series. ' +
      'MetricsStream does not know series.\n' +
      '- Values have random digits, timestamps are regular; both matter to compression only.\n' +
      '- Seconds of load. Merges of days, retention and queries beside the load are not in it.\n' +
      '- Percentiles are those of a full server in a closed loop: compare them with the throughput beside them.',
  );
  return `${parts.join('\n\n')}\n`;
}
