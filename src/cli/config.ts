/** `metricsstream config`: the effective value of every option and its source. */
import { accessSync, constants } from 'node:fs';
import { tableText } from '../base/table-text.ts';
import { ignoredText } from '../config/environment.ts';
import type { Config, Given, LoadedConfig } from '../config/load.ts';
import { OPTION_KEYS, type OptionKey, specOf } from '../config/options.ts';
import { formatQuantity } from '../config/units.ts';
import { warningsOf } from '../config/warnings.ts';
import { settleWal } from '../settle-wal.ts';
import { type WalChoice, walText } from '../wal/choose.ts';
import { effectiveConfig } from './effective-config.ts';
import { checkStart, existingDirectory } from './preflight.ts';

interface ConfigCommandOptions {
  readonly json: boolean;
  readonly check: boolean;
}

/**
 * The back-end of the write-ahead log that a start would choose, tried out where the data directory is or would be.
 * Null if this user cannot write there.
 */
async function walChoice(config: Config): Promise<WalChoice | null> {
  let dataDir: string;
  try {
    dataDir = existingDirectory(config.dataDir);
    accessSync(dataDir, constants.W_OK | constants.X_OK);
  } catch {
    return null;
  }
  return (await settleWal({ ...config, dataDir })).wal;
}

function valueText(key: OptionKey, { config, workersAreAuto }: LoadedConfig, wal: WalChoice | null): string {
  if (key === 'workers' && workersAreAuto) return `auto (${config.workers})`;
  if (key === 'wal' && wal !== null && wal.backend !== config.wal) return `${config.wal}: ${walText(wal)}`;
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
    const wal = await walChoice(config);
    const entries = OPTION_KEYS.map((key) => {
      const entry = { value: config[key], source: sources.get(key) };
      return [key, key === 'wal' ? { ...entry, ...wal } : entry];
    });
    process.stdout.write(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
  } else {
    const wal = await walChoice(config);
    const rows = OPTION_KEYS.map((key) => {
      const { flag, variable } = specOf(key);
      return [flag, valueText(key, loaded, wal), sources.get(key)!, variable];
    });
    process.stdout.write(tableText([['option', 'value', 'from', 'environment variable'], ...rows]));
  }
  return 0;
}
