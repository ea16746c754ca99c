/** Three times as many requests as the server has capacity for. */

import { faultEnvironment } from '../faults/disk-faults.ts';
import { formatCount } from '../format.ts';
import { expectOrderlyAnswers } from './expectations.ts';
import type { Scenario } from './scenario.ts';

const FACTOR = 3;
/** So that a generator on the same machine can send three times the capacity, the disk is what limits the server. */
const SYNC_DELAY_MS = 20;
const QUEUE_TASKS = 64;
const CLIENTS = 256;
const CAPACITY_MS = 4_000;
const OVERLOAD_MS = 8_000;
const WARM_UP_MS = 1_000;
const GOODPUT_SHARE_MIN = 0.7;
/** Less than this much of the capacity put no overload on the server. */
const OVERLOAD_FACTOR_MIN = 1.5;

export const overload: Scenario = {
  name: 'overload',
  title: `Overload: open loop at ${FACTOR} times the measured capacity`,
  expects:
    'nothing but 2xx, 429 and 503, Retry-After on each refusal, and at least ' +
    `${GOODPUT_SHARE_MIN * 100}% of the capacity still done`,
  async run(stage) {
    const target = await stage.server({
      args: ['--queue-tasks', String(QUEUE_TASKS), '--workers', '1'],
      env: faultEnvironment({ syncDelayMs: SYNC_DELAY_MS }),
    });
    const capacity = await stage.load('capacity', target, {
      clients: QUEUE_TASKS,
      load: { kind: 'closed', intervalMs: 0, durationMs: stage.options.durationMs ?? CAPACITY_MS },
      warmUpMs: WARM_UP_MS,
    });
    const perSecond = capacity.succeeded / capacity.seconds;
    const name = `${FACTOR} × capacity`;
    const result = await stage.load(name, target, {
      clients: CLIENTS,
      load: {
        kind: 'open',
        ratePerSecond: Math.max(1, perSecond * FACTOR),
        durationMs: stage.options.durationMs ?? OVERLOAD_MS,
      },
    });
    const steps = [
      { name: 'capacity', result: capacity },
      { name, result },
    ];
    expectOrderlyAnswers(stage, steps);
    const goodput = result.succeeded / result.seconds;
    stage.expect(
      `at least ${GOODPUT_SHARE_MIN * 100}% of the capacity is still done`,
      goodput >= perSecond * GOODPUT_SHARE_MIN,
      `${formatCount(goodput)} successes/s, capacity ${formatCount(perSecond)}`,
    );
    const due = result.intended / result.seconds;
    stage.expect(
      `the load is an overload: at least ${OVERLOAD_FACTOR_MIN} times the capacity is due, and refused or waiting`,
      due >= perSecond * OVERLOAD_FACTOR_MIN && result.succeeded < result.intended,
      `${formatCount(due)} due a second, ${formatCount(result.sent / result.seconds)} sent`,
    );
  },
};
