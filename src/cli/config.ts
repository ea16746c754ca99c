/** `metricsstream config`: the effective value of every option and where it comes from. */
import { ClassNames } from '../auth/class-names.ts';
import { readCredentials } from '../auth/credentials.ts';
import { loadConfig } from '../config/load.ts';
import { flagOf, OPTIONS, variableOf } from '../config/options.ts';

export interface ConfigCommandOptions {
  readonly json: boolean;
  readonly check: boolean;
}

export function showConfig(flags: Record<string, unknown>, options: ConfigCommandOptions): number {
  const { config, sources, workersAreAuto, warnings } = loadConfig(flags, process.env);
  const values = config as unknown as Record<string, string | number>;
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (options.check) {
    const credentials = readCredentials(config, new ClassNames());
    for (const warning of credentials.warnings) process.stderr.write(`warning: ${warning}\n`);
    process.stdout.write('configuration is valid\n');
    return 0;
  }
  if (options.json) {
    const entries = OPTIONS.map(({ key }) => [key, { value: values[key], source: sources[key] }]);
    process.stdout.write(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
    return 0;
  }
  const shown = (key: string): string =>
    key === 'workers' && workersAreAuto ? `auto (${config.workers})` : String(values[key]);
  const rows = OPTIONS.map(({ key }) => [flagOf(key), shown(key), sources[key]!, variableOf(key)]);
  rows.unshift(['option', 'value', 'from', 'environment variable']);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  // In one piece: a reader such as head may go away after the first line.
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  return 0;
}
