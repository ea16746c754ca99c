/** The whole run as Markdown. */
import { formatCount, formatMs } from '../../load-test/format.ts';
import { table } from '../compare/report.ts';
import { type Finding, figure, type PartResult } from './part.ts';
import { HEALTH_PROBE, METRICS_PROBE, type ProbeSummary } from './probes.ts';

const METRICS_P99_MAX_MS = 10;
const HEALTH_P99_MAX_MS = 100;

export interface RunInfo {
  readonly command: string;
  readonly machine: string;
  readonly date: string;
  readonly pinning: string;
}

const LIMITS: Readonly<Record<string, number>> = {
  [METRICS_PROBE.name]: METRICS_P99_MAX_MS,
  [HEALTH_PROBE.name]: HEALTH_P99_MAX_MS,
};

/** Neither the prober's own delay nor what the hypervisor took is part of the answer. */
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

function probeRow(probe: ProbeSummary): string[] {
  const limit = LIMITS[probe.name];
  return [
    probe.part,
    probe.name,
    formatCount(probe.count),
    formatCount(probe.failed),
    formatMs(probe.p50Ms),
    formatMs(probe.p99Ms),
    formatMs(probe.maxMs),
    formatMs(probe.ownP99Ms),
    formatMs(probe.stolenP99Ms),
    formatMs(probe.serverP99Ms),
    limit === undefined || !probe.isJudged ? '–' : holds(probe) ? 'holds' : 'MISSED',
  ];
}

const PROBE_HEAD = [
  'while',
  'probe',
  'sent',
  'not 2xx',
  'p50 ms',
  'p99',
  'max',
  'own delay, p99',
  'stolen, p99',
  'p99 without both',
  '',
];

function verdict({ holds: held }: Finding): string {
  if (held === null) return '–';
  return held ? 'holds' : 'MISSED';
}

export function allFindings(parts: readonly PartResult[]): Finding[] {
  return [
    ...parts.flatMap(({ findings }) => findings),
    ...probeFindings(parts.flatMap(({ probes }) => probes)),
  ];
}

export function report(info: RunInfo, parts: readonly PartResult[], failures: readonly string[]): string {
  const findings = allFindings(parts);
  const probes = parts.flatMap((part) => part.probes).filter(({ count }) => count > 0);
  const sections = parts.flatMap(({ title, text, tables }) => [
    `## ${title}`,
    ...text,
    ...tables.flatMap(({ title: caption, head, rows }) => [`${caption}:`, table(head, rows)]),
  ]);
  return `${[
    '# Overload',
    `Command: \`${info.command}\``,
    `Machine: ${info.machine}; ${info.date}`,
    info.pinning,
    ...failures.map((failure) => `FAILED ${failure}`),
    '## Requirements',
    table(
      ['requirement', 'measured', ''],
      findings.map((finding) => [finding.requirement, finding.measured, verdict(finding)]),
    ),
    ...sections,
    '## GET /metrics and GET /health',
    `Asked by a process of its own on connections of its own, ${METRICS_PROBE.ratePerSecond} and ` +
      `${HEALTH_PROBE.ratePerSecond} times a second. Own delay is the time within a probe in which the prober was ready ` +
      'to run and had no core (`/proc/self/schedstat`); stolen is the time in which the hypervisor kept a core from this ' +
      'machine (`/proc/stat`, in steps of 10 ms). The requirement is judged without both. It is not judged where the ' +
      'server is given a part of a core only: 3 of every 4 ms it does not run at all.',
    table(PROBE_HEAD, probes.map(probeRow)),
  ].join('\n\n')}\n`;
}
