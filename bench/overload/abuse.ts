/** A client that sends 20,000 requests/s, of which it may send 10,000, beside one that keeps within its limit. */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatCount, formatMs } from '../../load-test/format.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import { createRunId } from '../../load-test/run.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { spreadOf } from '../compare/report.ts';
import { correct, correctness, figure, type PartOptions, type PartResult, type Table } from './part.ts';
import type { Probe, ProbeStream } from './prober-messages.ts';
import {
  between,
  checkProbes,
  HEALTH_PROBE,
  isFine,
  latencyMs,
  METRICS_PROBE,
  percentile,
  summarize,
} from './probes.ts';
import { type ServerUnderLoad, withServer } from './server-under-load.ts';
import { withoutHistograms } from './slow-disk.ts';

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
  readonly alone: readonly [fromMs: number, untilMs: number];
  readonly beside: readonly [fromMs: number, untilMs: number];
  readonly abuser: LoadResult;
}

async function runRound(server: ServerUnderLoad, smoke: boolean): Promise<Round> {
  const durationMs = smoke ? SMOKE_MS : ROUND_MS;
  const aloneMs = monotonicMs() + (smoke ? 0 : SETTLE_MS);
  await sleep(smoke ? SMOKE_MS / 2 : SETTLE_MS + ROUND_MS);
  const alone = [aloneMs, monotonicMs()] as const;
  let beside: readonly [number, number] = alone;
  const abuser = await server.load(
    {
      clients: ABUSER_CONNECTIONS,
      headers: { [CLIENT_HEADER]: 'abuser' },
      load: { kind: 'open', ratePerSecond: smoke ? SMOKE_RATE : ABUSE_RATE, durationMs },
      warmUpMs: smoke ? 0 : SETTLE_MS,
    },
    {
      onEnded: async (fromMs, untilMs) => {
        beside = [fromMs, untilMs];
      },
    },
  );
  return { alone, beside, abuser };
}

const latencies = (probes: readonly Probe[]): number[] => probes.map(latencyMs);

export async function abuse(options: PartOptions): Promise<PartResult> {
  const { smoke, progress } = options;
  const good = goodStream();
  const args = ['--client-id', `header:${CLIENT_HEADER}`];
  return withServer(options, { args }, [METRICS_PROBE, HEALTH_PROBE, good], async (server, prober) => {
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
    const check = await checkProbes(server.dataDir, good, goodProbes);
    const during = (name: string, pick: (round: Round) => readonly [number, number]): Probe[] =>
      rounds.flatMap((round) => between(probes.get(name)!, ...pick(round)));
    const alone = during(good.name, (round) => round.alone);
    const beside = during(good.name, (round) => round.beside);
    const limited = goodProbes.filter(({ outcome }) => outcome === TOO_MANY);
    const refused = goodProbes.filter((probe) => !isFine(probe) && probe.outcome !== TOO_MANY);
    const p99 = (list: readonly Probe[]): number => percentile(latencies(list), 99);
    const ratios = spreadOf(
      rounds.map(
        (round) => p99(between(goodProbes, ...round.beside)) / p99(between(goodProbes, ...round.alone)),
      ),
    );
    const sentPerSecond = spreadOf(rounds.map(({ abuser }) => abuser.sent / abuser.seconds));
    return {
      name: 'abuse',
      title: `An abusive client at ${formatCount(ABUSE_RATE)} requests/s`,
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
        correct(
          'its metrics are stored as they were answered',
          check.ok,
          check.ok ? `${check.accepted} metrics accepted, ${check.stored} stored` : check.detail,
        ),
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
            `${formatCount(spreadOf(rounds.map(({ abuser }) => abuser.succeeded / abuser.seconds)).median)}/s accepted`,
        ),
      ],
      text: [
        `Default settings, clients told apart by \`--client-id header:${CLIENT_HEADER}\`, so a client may send ${formatCount(LIMIT)} requests/s. ` +
          `The well-behaved one sends ${good.ratePerSecond} requests/s of 10 metrics from the prober's process; the abuser ` +
          `${formatCount(ABUSE_RATE)}/s of 1 metric over ${ABUSER_CONNECTIONS} connections of its own, from the load generator. Rounds alone and beside ` +
          'take turns.',
      ],
      tables: [roundsTable(rounds, goodProbes)],
      probes: [
        summarize(
          'good client alone',
          METRICS_PROBE.name,
          during(METRICS_PROBE.name, (round) => round.alone),
        ),
        summarize(
          'good client alone',
          HEALTH_PROBE.name,
          during(HEALTH_PROBE.name, (round) => round.alone),
        ),
        summarize('good client alone', good.name, alone),
        summarize(
          'abusive client',
          METRICS_PROBE.name,
          during(METRICS_PROBE.name, (round) => round.beside),
        ),
        summarize(
          'abusive client',
          HEALTH_PROBE.name,
          during(HEALTH_PROBE.name, (round) => round.beside),
        ),
        summarize('abusive client', good.name, beside),
      ],
      data: rounds.map(({ abuser, ...spans }) => ({ ...spans, abuser: withoutHistograms(abuser) })),
    };
  });
}

function roundsTable(rounds: readonly Round[], good: readonly Probe[]): Table {
  const of = (span: readonly [number, number], percent: number): string =>
    formatMs(percentile(latencies(between(good, ...span)), percent));
  return {
    title: 'The well-behaved client, round by round',
    head: [
      'round',
      'p50 alone, ms',
      'p50 beside',
      'p99 alone',
      'p99 beside',
      'abuser: sent/s',
      '200/s',
      '429/s',
    ],
    rows: rounds.map(({ alone, beside, abuser }, index) => [
      String(index + 1),
      of(alone, 50),
      of(beside, 50),
      of(alone, 99),
      of(beside, 99),
      formatCount(abuser.sent / abuser.seconds),
      formatCount((abuser.outcomes['200'] ?? 0) / abuser.seconds),
      formatCount((abuser.outcomes['429'] ?? 0) / abuser.seconds),
    ]),
  };
}
