/** Metrics of the circuit breakers. Storage has the only one. */
import { STATE_NAMES } from '../../breaker/breaker.ts';
import { type MetricDescription, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

const STAGE = 'storage';

export function breakerMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar(
      'gauge',
      'breaker_state',
      "State of each stage's breaker: 0 closed, 1 open, 2 half open.",
      () => [{ value: readings.breaker.state, labels: { stage: STAGE } }],
      ['stage'],
    ),
    scalar(
      'counter',
      'breaker_transitions_total',
      "How often each stage's breaker entered a state.",
      () =>
        STATE_NAMES.map((to, state) => ({
          value: readings.breaker.transitions[state]!,
          labels: { stage: STAGE, to },
        })),
      ['stage', 'to'],
    ),
  ];
}
