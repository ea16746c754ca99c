/** A client that sends 20,000 requests/s, of which it may send 10,000, beside one that keeps within its limit. */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatCount, formatMs } from '../../load-test/format.ts';
import type { LoadPlan, LoadResult } from '../../load-test/plan.ts';
import { createRunId } from '../../load-test/run.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { type Column, tableOf } from '../report/table.ts';
import { medianOf, rangeOf } from '../statistics.ts';
import { correct, type Finding, figure } from './finding.ts';
import { correctness, type PartOptions, type PartResult, withoutHistograms } from './part.ts';
import type { Probe, ProbeStream } from './prober-messages.ts';
import {
  between,
  ENDPOINTS,
  isFine,
  latencyMs,
  percentile,
  type Span,
  storedFinding,
  summarize,
} from './probes.ts';
import { type ServerUnderLoad, withProbedServer } from './server-under-load.ts';

const CLIENT_HEADER = 'x-client';
const ABUSE_RATE = 20_000;
/** The default of --rate-limit. */
const LIMIT = 10_000;
/** A second's worth of burst, and clocks that differ. */
const ALLOWED_SLACK = 1.05;
const ABUSER_CONNECTIONS = 256;
const ROUNDS = 5;
const ROUND_MS = 4_000;
/** After a change, until the next figures count. */
const SETTLE_MS = 500;
const WARM_UP_MS = 2_000;
const P99_FACTOR_MAX = 2;
const TOO_MANY = 429;
const SMOKE_MS = 1_000;
const SMOKE_RATE = 12_000;

function goodStream(): ProbeStream {
  return {
    name: 'good client',
    ratePerSecond: 200,
    connections: 16,
    request: { method: 'POST', batch: 10, runId: createRunId(), headers: { [CLIENT_HEADER]: 'good' } },
  };
}

interface Round {
  readonly alone: Span;
  readonly beside: Span;
  readonly abuser: LoadResult;
}

const abuserLoad = (ratePerSecond: number, durationMs: number, warmUpMs = 0): Partial<LoadPlan> => ({
  clients: ABUSER_CONNECTIONS,
  headers: { [CLIENT_HEADER]: 'abuser' },
  load: { kind: 'open', ratePerSecond, durationMs },
  warmUpMs,
});

async function runRound(server: ServerUnderLoad, smoke: boolean): Promise<Round> {
  const aloneMs = monotonicMs() + (smoke ? 0 : SETTLE_MS);
  await sleep(smoke ? SMOKE_MS / 2 : SETTLE_MS + ROUND_MS);
  const alone = [aloneMs, monotonicMs()] as const;
  const load = smoke ? abuserLoad(SMOKE_RATE, SMOKE_MS) : abuserLoad(ABUSE_RATE, ROUND_MS, SETTLE_MS);
  const { result: abuser, span: beside } = await server.load(load);
  return { alone, beside, abuser };
}

async function runRounds(server: ServerUnderLoad, { smoke, progress }: PartOptions): Promise<Round[]> {
  // Compiles the paths of accepted and of refused requests.
  if (!smoke) await server.load(abuserLoad(ABUSE_RATE, WARM_UP_MS));
  const rounds: Round[] = [];
  while (rounds.length < (smoke ? 1 : ROUNDS)) {
    rounds.push(await runRound(server, smoke));
    progress(`abuse: round ${rounds.length} done`);
  }
  return rounds;
}

const latencies = (probes: readonly Probe[]): number[] => probes.map(latencyMs);
const p99 = (probes: readonly Probe[]): number => percentile(latencies(probes), 99);

/** Answers and delays of the well-behaved client, and the rate of the abuser. */
function findingsOf(good: readonly Probe[], rounds: readonly Round[]): Finding[] {
  const during = (pick: (round: Round) => Span) => rounds.flatMap((round) => between(good, pick(round)));
  const [alone, beside] = [p99(during((round) => round.alone)), p99(during((round) => round.beside))];
  const ratios = rangeOf(
    rounds.map((round) => p99(between(good, round.beside)) / p99(between(good, round.alone))),
  );
  const limited = good.filter(({ outcome }) => outcome === TOO_MANY);
  const refused = good.filter((probe) => !isFine(probe) && probe.outcome !== TOO_MANY);
  const reasons = [...new Set(refused.map(({ outcome }) => outcome))].join(', ');
  const abusers = rounds.map(({ abuser }) => abuser);
  const sent = medianOf(abusers.map((abuser) => abuser.sent / abuser.seconds));
  const accepted = medianOf(abusers.map((abuser) => abuser.succeeded / abuser.seconds));
  const isLimited = ({ succeeded, seconds }: LoadResult): boolean =>
    succeeded / seconds <= LIMIT * ALLOWED_SLACK + LIMIT / seconds;
  return [
    correct(
      'the well-behaved client gets no 429',
      limited.length === 0,
      `${good.length} requests, ${limited.length} × 429`,
    ),
    figure(
      'nor any other refusal',
      refused.length === 0,
      `${refused.length} not accepted${refused.length === 0 ? '' : ` (${reasons})`}`,
    ),
    figure(
      `its p99 is at most ${P99_FACTOR_MAX} times its p99 alone`,
      beside <= P99_FACTOR_MAX * alone,
      `${(beside / alone).toFixed(2)}×: ${formatMs(beside)} ms beside, ${formatMs(alone)} ms alone, over ` +
        `${rounds.length} rounds (by round ${ratios.min.toFixed(2)}–${ratios.max.toFixed(2)}×, median ${ratios.median.toFixed(2)}×)`,
    ),
    figure(
      'the abuser really sends that much, and gets no more than its limit',
      sent >= ABUSE_RATE * 0.95 && abusers.every(isLimited),
      `${formatCount(sent)}/s sent, ${formatCount(accepted)}/s accepted`,
    ),
  ];
}

export function abuse(options: PartOptions): Promise<PartResult> {
  const good = goodStream();
  const args = ['--client-id', `header:${CLIENT_HEADER}`];
  const streams = [...ENDPOINTS, good];
  return withProbedServer(options, { args }, streams, async (server, prober) => {
    const rounds = await runRounds(server, options);
    const probes = await prober.end();
    const goodProbes = probes.get(good.name)!;
    const summaries = (part: string, pick: (round: Round) => Span) =>
      streams.map(({ name }) =>
        summarize(
          part,
          name,
          rounds.flatMap((round) => between(probes.get(name)!, pick(round))),
        ),
      );
    return {
      name: 'abuse',
      findings: [
        ...correctness(
          'abusive client',
          rounds.map(({ abuser }) => abuser),
        ),
        ...findingsOf(goodProbes, rounds),
        await storedFinding(
          "the well-behaved client's metrics are stored as they were answered",
          server.dataDir,
          good,
          goodProbes,
        ),
      ],
      tables: { abuse: tableOf(roundColumns(goodProbes), rounds) },
      probes: [
        ...summaries('good client alone', ({ alone }) => alone),
        ...summaries('abusive client', ({ beside }) => beside),
      ],
      data: rounds.map(({ abuser, ...spans }) => ({ ...spans, abuser: withoutHistograms(abuser) })),
    };
  });
}

function roundColumns(good: readonly Probe[]): readonly Column<Round>[] {
  const of = (span: Span, percent: number): string =>
    formatMs(percentile(latencies(between(good, span)), percent));
  const perSecond = ({ abuser }: Round, count: number | undefined): string =>
    formatCount((count ?? 0) / abuser.seconds);
  return [
    ['p50 alone, ms', ({ alone }) => of(alone, 50)],
    ['p50 beside', ({ beside }) => of(beside, 50)],
    ['p99 alone', ({ alone }) => of(alone, 99)],
    ['p99 beside', ({ beside }) => of(beside, 99)],
    ['abuser: sent/s', (round) => perSecond(round, round.abuser.sent)],
    ['200/s', (round) => perSecond(round, round.abuser.outcomes['200'])],
    ['429/s', (round) => perSecond(round, round.abuser.outcomes['429'])],
  ];
}
