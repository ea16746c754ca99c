/**
 * The long form of the outages under load, with tables.
 *
 *     npm run test:outages [-- database|NATS|both [seconds [requests/s]]]
 */
import { textTable } from '../../load-test/format.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import type { Owner } from '../support/clean-up.ts';
import { type OutageResult, PROCESSES, runOutage, type Stopped } from './outage-load.ts';

const [which = 'both', seconds = '60', rate = '500'] = process.argv.slice(2);
const CURVE_POINTS = 8;
const MIB = 2 ** 20;

const ms = (result: LoadResult | null, key: 'p50Ms' | 'p99Ms' | 'maxMs'): string =>
  result === null ? '–' : result.apiLatency[key].toFixed(2);
const mib = (bytes: number): string => (bytes / MIB).toFixed(1);

function latencyRows({ options, before, during, after }: OutageResult): string[][] {
  const named = [
    ['before', before],
    [`without ${options.stopped}`, during],
    ['after', after],
  ] as const;
  return named.map(([name, result]) => [
    name,
    ...(['p50Ms', 'p99Ms', 'maxMs'] as const).map((key) => ms(result, key)),
    result === null ? '–' : JSON.stringify(result.outcomes),
  ]);
}

/** From a second before the outage until the lag has gone, at even distances. */
function curveRows({ samples, options, caughtUpSeconds }: OutageResult): string[][] {
  const end = options.seconds + caughtUpSeconds;
  const times = Array.from({ length: CURVE_POINTS + 1 }, (_, k) => (k * (end + 2)) / CURVE_POINTS - 1);
  return times.map((time) => {
    const { atSeconds, lagBytes, waitingMessages } = samples.reduce((best, one) =>
      Math.abs(one.atSeconds - time) < Math.abs(best.atSeconds - time) ? one : best,
    );
    return [atSeconds.toFixed(0), mib(lagBytes.postgres), mib(lagBytes.nats), String(waitingMessages)];
  });
}

function memoryRows({ samples, options, caughtUpSeconds }: OutageResult): string[][] {
  const during = samples.filter(
    ({ atSeconds }) => atSeconds >= 0 && atSeconds <= options.seconds + caughtUpSeconds,
  );
  const before = samples.filter(({ atSeconds }) => atSeconds < 0);
  const most = (some: OutageResult['samples'], index: number): string =>
    some.length === 0 ? '–' : mib(Math.max(...some.map(({ residentBytes }) => residentBytes[index]!)));
  return PROCESSES.map((name, index) => [
    name,
    most(before, index),
    most(during, index),
    mib(samples.at(-1)!.residentBytes[index]!),
  ]);
}

/** CPU in percent of a core during the outage: the cost of waiting for the other side. */
function cpuRows({ samples, options }: OutageResult): string[][] {
  const percent = (from: number, to: number, index: number): string => {
    const some = samples.filter(({ atSeconds }) => atSeconds >= from && atSeconds <= to);
    const [first, last] = [some[0], some.at(-1)];
    if (first === undefined || first === last) return '–';
    const used = last!.cpuSeconds[index]! - first.cpuSeconds[index]!;
    return ((100 * used) / (last!.atSeconds - first.atSeconds)).toFixed(1);
  };
  return PROCESSES.map((name, index) => [name, percent(0, options.seconds, index)]);
}

const cleanups: (() => unknown)[] = [];
const owner: Owner = { after: (cleanup) => void cleanups.push(cleanup) };
try {
  for (const stopped of ['database', 'NATS'] as const satisfies readonly Stopped[]) {
    if (which !== 'both' && which !== stopped) continue;
    const options = { seconds: Number(seconds), withBaseline: true, requestsPerSecond: Number(rate) };
    const result = await runOutage(owner, { ...options, stopped });
    const { accepted, lost, doubled, caughtUpSeconds, before, during, after } = result;
    const calm = Math.max(before!.apiLatency.p99Ms, after!.apiLatency.p99Ms);
    console.log(`\n${stopped} away for ${seconds} s, ${rate} requests/s of 20 metrics\n`);
    console.log(
      textTable([['POST', 'p50, ms', 'p99, ms', 'longest, ms', 'answers'], ...latencyRows(result)]),
    );
    console.log(`p99 ${(during.apiLatency.p99Ms / calm).toFixed(2)}× of the larger undisturbed one\n`);
    const curve = ['s', 'export to PostgreSQL, MiB behind', 'export to NATS, MiB behind', 'messages waiting'];
    console.log(textTable([curve, ...curveRows(result)]));
    console.log(`caught up ${caughtUpSeconds.toFixed(1)} s after its return\n`);
    console.log(
      textTable([['resident MiB, most', 'before', 'until caught up', 'at the end'], ...memoryRows(result)]),
    );
    console.log(textTable([['CPU', `% of a core without ${stopped}`], ...cpuRows(result)]));
    console.log(
      `\n${accepted} metrics accepted; without a row ${lost}, rows beyond them ${doubled}; verify --sink equal`,
    );
  }
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
