/** Ramp to saturation: ever higher rates until the server no longer keeps up, then closer to where it stopped. */
import { formatCount, formatMs, formatShare } from '../format.ts';
import type { LoadResult } from '../plan.ts';
import { expectOrderlyAnswers, successShare } from './expectations.ts';
import { ladderCharts } from './ladders.ts';
import type { Scenario, Stage, Step, Target } from './scenario.ts';

const FIRST_RATE = 100;
const RATE_MAX = 200_000;
const STEP_MS = 4_000;
const WARM_UP_MS = 500;
const CLIENTS = 100;
/** Halvings of the interval between the last rate that held and the first that did not. */
const REFINEMENTS = 3;
const KNEE_P99_MS = 100;
const KNEE_SUCCESS = 0.99;

/** Why a rate does not hold, or null. */
function whyNotSustained(result: LoadResult): string | null {
  const { unsent, apiLatency } = result;
  const success = successShare(result);
  if (success < KNEE_SUCCESS) {
    return `success ${formatShare(success)}${unsent > 0 ? `, ${formatCount(unsent)} never sent` : ''}`;
  }
  return apiLatency.p99Ms > KNEE_P99_MS ? `p99 ${formatMs(apiLatency.p99Ms)} ms` : null;
}

class Ramp {
  readonly steps: { readonly rate: number; readonly name: string; readonly result: LoadResult }[] = [];
  private readonly stage: Stage;
  private readonly target: Target;

  constructor(stage: Stage, target: Target) {
    this.stage = stage;
    this.target = target;
  }

  /** Tries a failed rate a second time: one hiccup of the machine does not show saturation. */
  async holds(rate: number): Promise<boolean> {
    return (await this.tryRate(rate)) || (await this.tryRate(rate));
  }

  private async tryRate(rate: number): Promise<boolean> {
    const durationMs = this.stage.options.durationMs ?? STEP_MS;
    const again = this.steps.some((step) => step.rate === rate) ? ' again' : '';
    const name = `${formatCount(rate)}/s${again}`;
    const load = { kind: 'open', ratePerSecond: rate, durationMs } as const;
    const result = await this.stage.load(name, this.target, {
      clients: CLIENTS,
      load,
      warmUpMs: WARM_UP_MS,
    });
    this.steps.push({ rate, name, result });
    return whyNotSustained(result) === null;
  }
}

export const saturation: Scenario = {
  name: 'saturation',
  title: 'Ramp to saturation: open loop, the rate doubled until it no longer holds',
  expects:
    `${FIRST_RATE} requests/s hold (p99 within ${KNEE_P99_MS} ms, ${formatShare(KNEE_SUCCESS)} success), and beyond ` +
    'saturation every answer is 2xx or a refusal with Retry-After; reports the highest rate that held',
  async run(stage) {
    const ramp = new Ramp(stage, await stage.server());
    let held = 0;
    let broke = 0;
    for (let rate = FIRST_RATE; rate <= RATE_MAX && broke === 0; rate *= 2) {
      if (await ramp.holds(rate)) held = rate;
      else broke = rate;
    }
    for (let k = 0; k < REFINEMENTS && held > 0 && broke > 0; k++) {
      const rate = Math.round((held + broke) / 2);
      if (await ramp.holds(rate)) held = rate;
      else broke = rate;
    }
    const steps: Step[] = ramp.steps.sort((a, b) => a.rate - b.rate);
    stage.expect(`${FIRST_RATE} requests/s hold`, held > 0, held > 0 ? 'yes' : 'no rate held');
    expectOrderlyAnswers(stage, steps);
    const first = ramp.steps.findLast(({ rate }) => rate === broke);
    if (first === undefined) stage.note(`no saturation up to ${formatCount(held)} requests/s`);
    else {
      const why = whyNotSustained(first.result);
      const generator = first.result.generator.isBottleneck
        ? '; the generator was the bottleneck there: the server may hold more'
        : '';
      stage.note(
        `saturation: ${formatCount(held)} requests/s held, ${formatCount(broke)} did not (${why}${generator})`,
      );
    }
    for (const chart of ladderCharts(steps, 'requests due a second')) stage.chart(chart);
  },
};
