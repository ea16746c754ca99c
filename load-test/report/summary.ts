/** A result as text for a terminal, and as rows that the page shows, too. */
import { formatCount, formatMs, formatShare, textTable } from '../format.ts';
import {
  countOf,
  FAILURE_TEXTS,
  isSuccess,
  type LatencySummary,
  type LoadPlan,
  type LoadResult,
} from '../plan.ts';

export type Row = readonly string[];

export function loadText({ clients, batch, load, keepAlive }: LoadPlan): string {
  const metrics = `${batch} metric${batch === 1 ? '' : 's'} a request`;
  const connections = keepAlive ? '' : ', a connection for each request';
  if (load.kind === 'open') {
    return (
      `open loop: ${formatCount(load.ratePerSecond)} requests/s over ${clients} connections ` +
      `for ${load.durationMs / 1e3} s, ${metrics}${connections}`
    );
  }
  const { requestsPerClient, intervalMs, durationMs } = load;
  const each = requestsPerClient === undefined ? '' : ` × ${requestsPerClient} requests`;
  const pace = intervalMs > 0 ? `one every ${intervalMs} ms` : 'one after the other';
  const until = durationMs === undefined ? '' : ` for ${durationMs / 1e3} s`;
  return `closed loop: ${clients} clients${each}, ${pace}${until}, ${metrics}${connections}`;
}

const latencyRow = (name: string, latency: Omit<LatencySummary, 'meanMs'>): Row =>
  latency.count === 0
    ? [name, '0', '–', '–', '–', '–', '–']
    : [
        name,
        formatCount(latency.count),
        ...[latency.p50Ms, latency.p90Ms, latency.p99Ms, latency.p999Ms, latency.maxMs].map(formatMs),
      ];

export function latencyRows(result: LoadResult): Row[] {
  const { apiLatency, serviceTime, refusalLatency, storageLatency, queueLatencies = [] } = result;
  return [
    ['latency, ms', 'count', 'p50', 'p90', 'p99', 'p99.9', 'max'],
    latencyRow('API (due → 2xx answer)', apiLatency),
    ...(storageLatency === undefined
      ? []
      : [latencyRow('storage (due → in the files)', storageLatency.latency)]),
    ...queueLatencies.map(({ process, latency }) => latencyRow(`queue (log → ${process}), at most`, latency)),
    latencyRow('send → 2xx answer', serviceTime),
    ...(refusalLatency.count === 0 ? [] : [latencyRow('other answers', refusalLatency)]),
  ];
}

export function countRows(result: LoadResult): Row[] {
  const { outcomes, intended, sent, unsent, lateSends, generator } = result;
  const total = countOf(outcomes, () => true);
  const rows: Row[] = [
    ['requests due', formatCount(intended), ''],
    ['sent', formatCount(sent), ''],
    ['never sent', formatCount(unsent), ''],
  ];
  for (const [outcome, count = 0] of Object.entries(outcomes)) {
    const text = FAILURE_TEXTS[outcome] ?? (isSuccess(outcome) ? 'success' : 'refused');
    rows.push([`${outcome} (${text})`, formatCount(count), formatShare(count / Math.max(1, total))]);
  }
  if (result.plan.retries > 0) {
    rows.push(['sent again', formatCount(result.retries), `${formatCount(result.replays)} replayed`]);
  }
  rows.push(
    ['answers a second', formatCount(result.requestsPerSecond), ''],
    ['metrics accepted', formatCount(result.acceptedMetrics), ''],
    ['metrics accepted a second', formatCount(result.acceptedMetricsPerSecond), ''],
    ['sends > 1 ms late', formatCount(lateSends.count), formatShare(lateSends.share)],
    ['  waited for a connection', formatCount(lateSends.waitedForConnection), ''],
    ['  generator was late', formatCount(lateSends.byGenerator), `worst ${formatMs(lateSends.worstMs)} ms`],
    [
      'generator',
      `${generator.threads} thread${generator.threads === 1 ? '' : 's'}`,
      `${formatShare(generator.busyShare)} busy`,
    ],
  );
  return rows;
}

export function storageText({ storageLatency }: LoadResult): string | undefined {
  if (storageLatency === undefined) return undefined;
  const { found, sampled, skipped, resolutionP50Ms, resolutionP99Ms } = storageLatency;
  return (
    `storage latency: a sealed commit in the files, looked for every ${formatMs(resolutionP50Ms)} ms ` +
    `(p99 ${formatMs(resolutionP99Ms)}), for ${found} of ${sampled} sampled requests` +
    (skipped > 0 ? `; ${skipped} left out to keep the watching cheap` : '')
  );
}

export function checkText({ check }: LoadResult): string {
  const stored = check.stored === undefined ? 'unknown' : formatCount(check.stored);
  const verdict = check.ok ? (check.kind === 'none' ? 'not checked' : 'ok') : 'FAILED';
  return `accepted = stored: ${verdict}: ${formatCount(check.accepted)} accepted, ${stored} stored (${check.detail})`;
}

/** The tables printed at the end. */
export function summaryText(result: LoadResult): string {
  const { plan, runId, interrupted, seconds, warnings } = result;
  const storage = storageText(result);
  return [
    `${loadText(plan)}`,
    `to http://${plan.host}:${plan.port}/metrics, seed ${plan.seed}, run ${runId}, measured ${seconds.toFixed(1)} s` +
      (interrupted ? ', ended early' : ''),
    '',
    textTable(countRows(result)),
    '',
    textTable(latencyRows(result)),
    ...(storage === undefined ? [] : ['', storage]),
    '',
    checkText(result),
    ...warnings.map((warning) => `warning: ${warning}`),
  ].join('\n');
}
