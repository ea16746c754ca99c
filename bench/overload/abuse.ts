/** A client that sends 20,000 requests/s, of which it may send 10,000, beside one that keeps within its limit. */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatCount, formatMs } from '../../load-test/format.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import { createRunId } from '../../load-test/run.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { type Column, tableOf } from '../report/table.ts';
import { rangeOf } from '../statistics.ts';
import { correct, figure } from './finding.ts';
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

async function runRound(server: ServerUnderLoad, smoke: boolean): Promise<Round> {
  const durationMs = smoke ? SMOKE_MS : ROUND_MS;
  const aloneMs = monotonicMs() + (smoke ? 0 : SETTLE_MS);
  await sleep(smoke ? SMOKE_MS / 2 : SETTLE_MS + ROUND_MS);
  const alone = [aloneMs, monotonicMs()] as const;
  const { result: abuser, span: beside } = await server.load({
    clients: ABUSER_CONNECTIONS,
    headers: { [CLIENT_HEADER]: 'abuser' },
    load: { kind: 'open', ratePerSecond: smoke ? SMOKE_RATE : ABUSE_RATE, durationMs },
    warmUpMs: smoke ? 0 : SETTLE_MS,
  });
  return { alone, beside, abuser };
}

const latencies = (probes: readonly Probe[]): number[] => probes.map(latencyMs);

export async function abuse(options: PartOptions): Promise<PartResult> {
  const { smoke, progress } = options;
  const good = goodStream();
  const args = ['--client-id', `header:${CLIENT_HEADER}`];
  return withProbedServer(options, { args }, [...ENDPOINTS, good], async (server, prober) => {
    const rounds: Round[] = [];
    if (!smoke) {
      // Compiles the paths of accepted and of refused requests.
      const warmUp = { kind: 'open', ratePerSecond: ABUSE_RATE, durationMs: WARM_UP_MS } as const;
      await server.load({
        clients: ABUSER_CONNECTIONS,
        headers: { [CLIENT_HEADER]: 'abuser' },
        load: warmUp,
      });
    }
    for (let round = 1; round <= (smoke ? 1 : ROUNDS); round++) {
      rounds.push(await runRound(server, smoke));
      progress(`abuse: round ${round} done`);
    }
    const probes = await prober.end();
    const goodProbes = probes.get(good.name)!;
    const during = (name: string, pick: (round: Round) => Span): Probe[] =>
      rounds.flatMap((round) => between(probes.get(name)!, pick(round)));
    const alone = during(good.name, (round) => round.alone);
    const beside = during(good.name, (round) => round.beside);
    const limited = goodProbes.filter(({ outcome }) => outcome === TOO_MANY);
    const refused = goodProbes.filter((probe) => !isFine(probe) && probe.outcome !== TOO_MANY);
    const p99 = (list: readonly Probe[]): number => percentile(latencies(list), 99);
    const ratios = rangeOf(
      rounds.map((round) => p99(between(goodProbes, round.beside)) / p99(between(goodProbes, round.alone))),
    );
    const sentPerSecond = rangeOf(rounds.map(({ abuser }) => abuser.sent / abuser.seconds));
    return {
      name: 'abuse',
      findings: [
        ...correctness(
          'abusive client',
          rounds.map(({ abuser }) => abuser),
        ),
        correct(
          'the well-behaved client gets no 429',
          limited.length === 0,
          `${goodProbes.length} requests, ${limited.length} × 429`,
        ),
        figure(
          'nor any other refusal',
          refused.length === 0,
          `${refused.length} not accepted` +
            (refused.length === 0
              ? ''
              : ` (${[...new Set(refused.map(({ outcome }) => outcome))].join(', ')})`),
        ),
        await storedFinding('its metrics are stored as they were answered', server.dataDir, good, goodProbes),
        figure(
          `its p99 is at most ${P99_FACTOR_MAX} times its p99 alone`,
          p99(beside) <= P99_FACTOR_MAX * p99(alone),
          `${(p99(beside) / p99(alone)).toFixed(2)}×: ${formatMs(p99(beside))} ms beside, ${formatMs(p99(alone))} ms alone, over ` +
            `${rounds.length} rounds (by round ${ratios.min.toFixed(2)}–${ratios.max.toFixed(2)}×, median ${ratios.median.toFixed(2)}×)`,
        ),
        figure(
          'the abuser really sends that much, and gets no more than its limit',
          sentPerSecond.median >= ABUSE_RATE * 0.95 &&
            rounds.every(
              ({ abuser }) =>
                abuser.succeeded / abuser.seconds <= LIMIT * ALLOWED_SLACK + LIMIT / abuser.seconds,
            ),
          `${formatCount(sentPerSecond.median)}/s sent, ` +
            `${formatCount(rangeOf(rounds.map(({ abuser }) => abuser.succeeded / abuser.seconds)).median)}/s accepted`,
        ),
      ],
      tables: { abuse: tableOf(roundColumns(goodProbes), rounds) },
      probes: (
        [
          ['good client alone', (round) => round.alone],
          ['abusive client', (round) => round.beside],
        ] as const satisfies readonly (readonly [string, (round: Round) => Span])[]
      ).flatMap(([part, pick]) =>
        [...ENDPOINTS, good].map(({ name }) => name).map((name) => summarize(part, name, during(name, pick))),
      ),
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
