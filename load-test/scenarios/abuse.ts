/** One client that sends far more than it may, beside one that does not. */
import { formatCount, formatMs } from '../format.ts';
import { countOf } from '../plan.ts';
import { expectAllSucceed, expectOrderlyAnswers } from './expectations.ts';
import type { Scenario } from './scenario.ts';

const CLIENT_HEADER = 'x-client';
/** Requests a second that a client may send, and how many at once. */
const LIMIT = 500;
const BURST = 100;
const ABUSE_FACTOR = 10;
const GOOD_RATE = 100;
const DURATION_MS = 8_000;
const WARM_UP_MS = 1_000;
const GOOD_CLIENTS = 8;
const ABUSER_CONNECTIONS = 32;
/** The good client's p99 beside the abuser: so many times its p99 alone, and so much more for a shared machine. */
const P99_FACTOR = 5;
const P99_SLACK_MS = 25;
/** Of what the limit allows: the load's ends and the server's clock. */
const ALLOWED_SLACK = 1.1;

export const abuse: Scenario = {
  name: 'abuse',
  title: `One client at ${ABUSE_FACTOR} times its limit beside a good one`,
  expects:
    'the good client gets nothing but 2xx, and its p99 stays near what it is alone; the abuser gets no more than ' +
    'its limit, and 429 with Retry-After for the rest',
  async run(stage) {
    const target = await stage.server({
      args: [
        ...['--client-id', `header:${CLIENT_HEADER}`],
        ...['--rate-limit', String(LIMIT), '--rate-burst', String(BURST)],
      ],
      onlyOwn: 'it sets the limit, and the header that tells clients apart',
    });
    const durationMs = stage.options.durationMs ?? DURATION_MS;
    const good = {
      clients: GOOD_CLIENTS,
      load: { kind: 'open', ratePerSecond: GOOD_RATE, durationMs },
      warmUpMs: WARM_UP_MS,
      headers: { [CLIENT_HEADER]: 'good' },
    } as const;
    const alone = await stage.load('good client alone', target, good);
    const [beside, abuser] = await Promise.all([
      stage.load('good client beside', target, good),
      stage.load('abuser', target, {
        clients: ABUSER_CONNECTIONS,
        load: { kind: 'open', ratePerSecond: LIMIT * ABUSE_FACTOR, durationMs: durationMs + WARM_UP_MS },
        headers: { [CLIENT_HEADER]: 'abuser' },
      }),
    ]);
    expectAllSucceed(stage, [
      { name: 'good client alone', result: alone },
      { name: 'good client beside', result: beside },
    ]);
    const boundMs = alone.apiLatency.p99Ms * P99_FACTOR + P99_SLACK_MS;
    stage.expect(
      `its p99 stays within ${P99_FACTOR} times its p99 alone, plus ${P99_SLACK_MS} ms`,
      beside.apiLatency.p99Ms <= boundMs,
      `${formatMs(alone.apiLatency.p99Ms)} ms alone, ${formatMs(beside.apiLatency.p99Ms)} ms beside`,
    );
    const allowed = (LIMIT * abuser.seconds + BURST) * ALLOWED_SLACK;
    stage.expect(
      `the abuser gets no more than its limit of ${LIMIT}/s`,
      abuser.succeeded <= allowed,
      `${formatCount(abuser.succeeded)} successes in ${abuser.seconds.toFixed(1)} s, at most ${formatCount(allowed)}`,
    );
    const tooMany = countOf(abuser.outcomes, (outcome) => outcome === '429');
    stage.expect('and 429 for the rest', tooMany > 0, `${formatCount(tooMany)} × 429`);
    expectOrderlyAnswers(stage, [{ name: 'abuser', result: abuser }]);
  },
};
