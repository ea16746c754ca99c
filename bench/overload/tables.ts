/** The tables of a whole run. */
import { formatCount, formatMs } from '../../load-test/format.ts';
import { type Origin, originTable } from '../report/origin.ts';
import { type Column, markdownTable, markdownTables, tableOf } from '../report/table.ts';
import { type Finding, figure } from './finding.ts';
import type { PartResult } from './part.ts';
import { HEALTH_PROBE, METRICS_PROBE, type ProbeSummary } from './probes.ts';

const METRICS_P99_MAX_MS = 10;
const HEALTH_P99_MAX_MS = 100;

/** A run as overload.json holds it. */
export interface OverloadResults extends Origin {
  readonly pinning: string;
  readonly parts: readonly PartResult[];
  readonly failures: readonly string[];
}

const LIMITS: Readonly<Record<string, number>> = {
  [METRICS_PROBE.name]: METRICS_P99_MAX_MS,
  [HEALTH_PROBE.name]: HEALTH_P99_MAX_MS,
};

/** Judged without the prober's own delay and without the time that the hypervisor took. */
const holds = ({ name, serverP99Ms }: ProbeSummary): boolean => serverP99Ms < LIMITS[name]!;

/** One for each endpoint, over all parts. */
function probeFindings(probes: readonly ProbeSummary[]): Finding[] {
  return Object.entries(LIMITS).flatMap(([name, limitMs]) => {
    const own = probes.filter((probe) => probe.name === name && probe.count > 0 && probe.isJudged);
    if (own.length === 0) return [];
    const worst = own.reduce((a, b) => (b.serverP99Ms > a.serverP99Ms ? b : a));
    const missed = own.filter((probe) => !holds(probe)).map(({ part }) => part);
    return [
      figure(
        `${name}: p99 below ${limitMs} ms through all of it`,
        missed.length === 0,
        `${formatMs(worst.serverP99Ms)} ms at the worst (${worst.part})` +
          (missed.length === 0 ? '' : `; missed in: ${missed.join('; ')}`),
      ),
    ];
  });
}

const PROBE_COLUMNS: readonly Column<ProbeSummary>[] = [
  ['during', ({ part }) => part],
  ['probe', ({ name }) => name],
  ['sent', ({ count }) => formatCount(count)],
  ['not 2xx', ({ failed }) => formatCount(failed)],
  ['p50 ms', ({ p50Ms }) => formatMs(p50Ms)],
  ['p99', ({ p99Ms }) => formatMs(p99Ms)],
  ['max', ({ maxMs }) => formatMs(maxMs)],
  ['own delay, p99', ({ ownP99Ms }) => formatMs(ownP99Ms)],
  ['stolen, p99', ({ stolenP99Ms }) => formatMs(stolenP99Ms)],
  ['p99 without both', ({ serverP99Ms }) => formatMs(serverP99Ms)],
  [
    '',
    (probe) =>
      LIMITS[probe.name] === undefined || !probe.isJudged ? '–' : holds(probe) ? 'holds' : 'MISSED',
  ],
];

const FINDING_COLUMNS: readonly Column<Finding>[] = [
  ['requirement', ({ requirement }) => requirement],
  ['', ({ holds: held }) => (held === null ? '–' : held ? 'holds' : 'MISSED')],
  ['measured', ({ measured }) => measured],
];

export function allFindings(parts: readonly PartResult[]): Finding[] {
  return [
    ...parts.flatMap(({ findings }) => findings),
    ...probeFindings(parts.flatMap(({ probes }) => probes)),
  ];
}

export function overloadBlocks(run: OverloadResults): Record<string, string> {
  const { parts, pinning } = run;
  const probes = parts.flatMap((part) => part.probes).filter(({ count }) => count > 0);
  return {
    origin: originTable(run, { pinning }),
    requirements: markdownTable(tableOf(FINDING_COLUMNS, allFindings(parts))),
    ...markdownTables(Object.assign({}, ...parts.map(({ tables }) => tables))),
    probes: markdownTable(tableOf(PROBE_COLUMNS, probes)),
  };
}
