/** `metricsstream phases`: the optimisation journey as a table. */

import { tableText } from '../base/table-text.ts';
import { PHASES, type Slots } from '../phases.ts';

/** @returns the exit code */
export function printPhases(json: boolean): number {
  if (json) {
    process.stdout.write(`${JSON.stringify(PHASES)}\n`);
    return 0;
  }
  const slotNames = Object.keys(PHASES[0]!.slots) as (keyof Slots)[];
  const rows = PHASES.map(({ number, name, slots }) => [
    String(number),
    name,
    ...slotNames.map((slot) => slots[slot]),
  ]);
  process.stdout.write(tableText([['phase', 'name', ...slotNames], ...rows]));
  return 0;
}
