/** What adaptive admission aims at, sees and allows. */
import { type MetricDescription, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

const US_PER_SECOND = 1e6;

const limitBytes = (readings: Readings): number => readings.workers('admission_limit_bytes_now');
const delaySeconds = (readings: Readings): number =>
  readings.highest('admission_delay_us_now') / US_PER_SECOND;
const targetDelaySeconds = (readings: Readings): number =>
  readings.highest('admission_target_us_now') / US_PER_SECOND;

export function admissionMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar('gauge', 'admission_limit_bytes', 'Bytes that may wait for storage while it is loaded.', () =>
      limitBytes(readings),
    ),
    scalar('gauge', 'admission_delay_seconds', 'From handing over to stored, in the slowest worker.', () =>
      delaySeconds(readings),
    ),
    scalar('gauge', 'admission_target_delay_seconds', 'The delay that admission aims at.', () =>
      targetDelaySeconds(readings),
    ),
  ];
}

/** The same for the JSON summary. */
export function admissionSummary(readings: Readings) {
  return {
    limitBytes: limitBytes(readings),
    delaySeconds: delaySeconds(readings),
    targetDelaySeconds: targetDelaySeconds(readings),
  };
}
