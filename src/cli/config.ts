/** `metricsstream config`: the effective value of every option and its source. */
import { ignoredText } from '../config/environment.ts';
import type { Given, LoadedConfig } from '../config/load.ts';
import { OPTION_KEYS, type OptionKey, specOf } from '../config/options.ts';
import { formatQuantity } from '../config/units.ts';
import { warningsOf } from '../config/warnings.ts';
import { effectiveConfig } from './effective-config.ts';
import { checkStart } from './preflight.ts';
import { tableText } from './table.ts';

interface ConfigCommandOptions {
  readonly json: boolean;
  readonly check: boolean;
}

function valueText(key: OptionKey, { config, workersAreAuto }: LoadedConfig): string {
  if (key === 'workers' && workersAreAuto) return `auto (${config.workers})`;
  const value = config[key];
  const { kind } = specOf(key);
  return kind !== undefined && typeof value === 'number' ? formatQuantity(kind, value) : String(value);
}

function printWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
}

/** @returns the exit code */
export async function printConfig(
  given: Given,
  injectedVariables: readonly string[],
  { json, check }: ConfigCommandOptions,
): Promise<number> {
  const loaded = await effectiveConfig(given);
  const { config, sources } = loaded;
  if (injectedVariables.length > 0) process.stderr.write(`note: ${ignoredText(injectedVariables)}\n`);
  printWarnings(warningsOf(config));
  if (check) {
    printWarnings(await checkStart(config));
    process.stdout.write('configuration is valid\n');
  } else if (json) {
    const entries = OPTION_KEYS.map((key) => [key, { value: config[key], source: sources.get(key) }]);
    process.stdout.write(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
  } else {
    const rows = OPTION_KEYS.map((key) => {
      const { flag, variable } = specOf(key);
      return [flag, valueText(key, loaded), sources.get(key)!, variable];
    });
    process.stdout.write(tableText([['option', 'value', 'from', 'environment variable'], ...rows]));
  }
  return 0;
}
