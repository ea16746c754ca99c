/** `metricsstream phases`: the optimisation journey as a table. */
import { PHASES } from '../phases.ts';

export function showPhases(json: boolean): number {
  if (json) {
    process.stdout.write(`${JSON.stringify(PHASES)}\n`);
    return 0;
  }
  const slotNames = Object.keys(PHASES[0]!.slots) as (keyof (typeof PHASES)[0]['slots'])[];
  const rows = [
    ['phase', 'name', ...slotNames],
    ...PHASES.map(({ number, name, slots }) => [
      String(number),
      name,
      ...slotNames.map((slot) => slots[slot]),
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '));
  // In one piece: a reader such as head may go away after the first line.
  process.stdout.write(lines.map((line) => `${line.trimEnd()}\n`).join(''));
  return 0;
}
