/** All scenarios by name. */
import { MetricsStreamError } from '../../src/base/errors.ts';
import { abuse } from './abuse.ts';
import { breaker } from './breaker.ts';
import { classicLadder, clientLadder } from './ladders.ts';
import { overload } from './overload.ts';
import { saturation } from './saturation.ts';
import type { Scenario } from './scenario.ts';
import { slowDisk } from './slow-disk.ts';
import { soak } from './soak.ts';

export const SCENARIOS: readonly Scenario[] = [
  classicLadder,
  clientLadder,
  saturation,
  overload,
  abuse,
  slowDisk,
  breaker,
  soak,
];

/** @throws MetricsStreamError `CONFIG_INVALID` that names those there are */
export function scenarioOf(name: string): Scenario {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario !== undefined) return scenario;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `no scenario ${name}; there are ${SCENARIOS.map((one) => one.name).join(', ')}`,
  );
}
