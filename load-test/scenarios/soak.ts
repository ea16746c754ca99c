/** A steady load for long: what grows? */
import { formatShare } from '../format.ts';
import { memorySlope, watchMemory } from '../memory-watch.ts';
import { expectOrderlyAnswers, successShare } from './expectations.ts';
import type { Scenario } from './scenario.ts';

const DURATION_MS = 600_000;
const RATE = 1_000;
const BATCH = 10;
const CLIENTS = 32;
const MIB = 2 ** 20;
const SLOPE_MAX_MIB_PER_MINUTE = 2;
/** A shorter run says nothing of a slope. */
const SLOPE_MIN_MS = 120_000;
const SUCCESS_MIN = 0.999;

export const soak: Scenario = {
  name: 'soak',
  title: `Soak: ${RATE} requests/s with ${BATCH} metrics each for ten minutes, or for --duration`,
  expects:
    `${formatShare(SUCCESS_MIN)} of the requests succeed, resident memory grows by no more than ` +
    `${SLOPE_MAX_MIB_PER_MINUTE} MiB a minute after the first fifth, and all that was accepted is stored`,
  async run(stage) {
    const target = await stage.server();
    const durationMs = stage.options.durationMs ?? DURATION_MS;
    const { own } = target;
    const memory = own && watchMemory(own.pid);
    const result = await stage
      .load('soak', target, {
        clients: CLIENTS,
        batch: BATCH,
        load: { kind: 'open', ratePerSecond: RATE, durationMs },
      })
      .finally(() => memory?.end());
    expectOrderlyAnswers(stage, [{ name: 'soak', result }]);
    stage.expect(
      `${formatShare(SUCCESS_MIN)} of the requests succeed`,
      successShare(result) >= SUCCESS_MIN,
      formatShare(successShare(result)),
    );
    if (memory === undefined) return stage.note('memory is watched on a server of its own only');
    const { samples } = memory;
    const slope = memorySlope(samples);
    const peak = Math.max(...samples.map(({ bytes }) => bytes)) / MIB;
    const measured = `${slope.toFixed(2)} MiB a minute, ${peak.toFixed(0)} MiB at most`;
    if (durationMs < SLOPE_MIN_MS) stage.note(`memory: ${measured}; too short a run to judge the slope`);
    else stage.expect('memory does not grow', slope <= SLOPE_MAX_MIB_PER_MINUTE, measured);
    stage.chart({
      title: 'Resident memory of the server',
      x: samples.map(({ atSeconds }) => Number(atSeconds.toFixed(1))),
      xLabel: 'seconds',
      yLabel: 'MiB',
      series: [{ label: 'resident', values: samples.map(({ bytes }) => Math.round(bytes / MIB)) }],
    });
  },
};
