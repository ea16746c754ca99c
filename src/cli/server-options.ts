/** The options of the server on a command line; commander reads their environment variables too. */
import { type Command, Option } from 'commander';
import { CONFIG_VARIABLE, refuseUnknownVariables } from '../config/environment.ts';
import type { Given } from '../config/load.ts';
import { OPTION_KEYS, type OptionKey, specOf } from '../config/options.ts';

const CONFIG = 'config';

function optionOf(key: OptionKey): Option {
  const { flag, variable, placeholder, help, allowed, fallback, derived } = specOf(key);
  const description = `${help} (default: ${derived ?? fallback}; allowed: ${allowed})`;
  return new Option(`${flag} ${placeholder}`, description).env(variable);
}

export function addServerOptions(command: Command): Command {
  command.addOption(new Option(`--${CONFIG} <file>`, 'JSON file with options by name').env(CONFIG_VARIABLE));
  for (const key of OPTION_KEYS) command.addOption(optionOf(key));
  return command;
}

/** The name of a data directory, for the commands that only read it. */
export function dataDirOption(): Option {
  const { flag, variable, placeholder, fallback } = specOf('dataDir');
  return new Option(`${flag} ${placeholder}`, 'data directory').env(variable).default(fallback);
}

/**
 * The values given to a command made by `addServerOptions`.
 * @throws MetricsStreamError CONFIG_INVALID for an unknown variable
 */
export function givenTo(command: Command): Given {
  refuseUnknownVariables(process.env);
  const sourceOf = (key: string) => (command.getOptionValueSource(key) === 'cli' ? 'flag' : 'environment');
  const values: Map<OptionKey, { input: unknown; source: 'flag' | 'environment' }> = new Map();
  for (const key of OPTION_KEYS) {
    const input: unknown = command.getOptionValue(key);
    if (input !== undefined) values.set(key, { input, source: sourceOf(key) });
  }
  const path: unknown = command.getOptionValue(CONFIG);
  const name = sourceOf(CONFIG) === 'flag' ? `--${CONFIG}` : CONFIG_VARIABLE;
  return { values, file: typeof path === 'string' ? { path, name } : null };
}
