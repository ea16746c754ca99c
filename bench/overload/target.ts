/** The server's target delay during overload: it raises the target when a commit has a high fixed cost. */
import { mean } from '../statistics.ts';
import { readExposition } from '../under-test/exposition.ts';

const SAMPLE_MS = 1_000;
const GAUGE = 'metricsstream_admission_target_delay_seconds';

export interface TargetSample {
  readonly seconds: number;
  readonly targetMs: number;
}

export function watchTarget(port: number): { samples: TargetSample[]; end(): Promise<void> } {
  const samples: TargetSample[] = [];
  const beganMs = performance.now();
  const sample = async (): Promise<void> => {
    const seconds = (performance.now() - beganMs) / 1e3;
    const targetMs = (await readExposition(port)).get(GAUGE);
    if (targetMs !== undefined) samples.push({ seconds, targetMs: targetMs * 1e3 });
  };
  let last = sample();
  const timer = setInterval(() => {
    last = last.then(sample);
  }, SAMPLE_MS);
  return {
    samples,
    end: () => {
      clearInterval(timer);
      return last;
    },
  };
}

/** The target at a moment: the last sample before it, or the first of all. */
export function targetAt(samples: readonly TargetSample[], seconds: number): number {
  const before = samples.findLast((sample) => sample.seconds <= seconds) ?? samples[0];
  return before?.targetMs ?? Number.NaN;
}

/** Mean over the time watched. */
export function meanTarget(samples: readonly TargetSample[]): number {
  return mean(samples.map(({ targetMs }) => targetMs));
}
