/** When a load begins, when measuring begins, and when it ends. */
import type { LoadPlan } from '../plan.ts';
import type { PaceTimes } from './pacing.ts';

/** A warm-up takes whole intervals where there are any, so that the measured requests begin with the first client. */
export function timesOf({ load, warmUpMs }: LoadPlan, startMs: number): PaceTimes {
  const intervalMs = load.kind === 'closed' ? load.intervalMs : 0;
  const warm = intervalMs > 0 ? Math.ceil(warmUpMs / intervalMs) * intervalMs : warmUpMs;
  const measureMs = startMs + warm;
  return { startMs, measureMs, endMs: measureMs + (load.durationMs ?? Number.POSITIVE_INFINITY) };
}
