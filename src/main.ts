#!/usr/bin/env node
/** The command line: arguments, exit codes, and one line for errors a person can act on. */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { addLoadCommand } from '../load-test/command.ts';
import { MetricsStreamError } from './base/errors.ts';
import { flagOf, OPTIONS, type OptionSpec, variableOf } from './config/options.ts';

const EXIT_USAGE = 2;
const EXIT_FAILURE = 1;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function describe({ key, help, fallback, derived, allowed }: OptionSpec): string {
  const byDefault = derived === undefined ? String(fallback) : derived;
  return `${help} (default: ${byDefault}; allowed: ${allowed}; env: ${variableOf(key)})`;
}

function addServerOptions(command: Command): Command {
  command.option('--config <file>', 'JSON file with options by name (env: METRICSSTREAM_CONFIG)');
  for (const option of OPTIONS)
    command.addOption(new Option(`${flagOf(option.key)} ${option.value}`, describe(option)));
  return command;
}

const exitWith = (code: number): void => {
  process.exitCode = code;
};

const program = new Command('metricsstream')
  .description('Metrics ingestion server: POST /metrics JSON in, durable NDJSON files out.')
  .version(version)
  .configureHelp({ helpWidth: 110 })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
  .showHelpAfterError('(see --help)');

addServerOptions(
  program.command('serve', { isDefault: true }).description('run the server (default)'),
).action(async (flags) => {
  const { serve } = await import('./cli/serve.ts');
  const code = await serve(flags, version);
  process.exit(code);
});

program
  .command('tail')
  .description('print stored metrics, sound commits only')
  .option('-f, --follow', 'go on printing as metrics are stored', false)
  .option('-n, --lines <n|all>', 'how many of the last lines to begin with', '10')
  .option('--data-dir <dir>', 'data directory', process.env.METRICSSTREAM_DATA_DIR ?? './data')
  .action(async ({ follow, lines, dataDir }) => {
    const { tail } = await import('./cli/tail.ts');
    exitWith(await tail({ follow, lines, dataDir }));
  });

program
  .command('verify')
  .description('check every seal; exit 1 and name the place on damage')
  .option('--data-dir <dir>', 'data directory', process.env.METRICSSTREAM_DATA_DIR ?? './data')
  .option('--json', 'print the result as JSON', false)
  .action(async ({ dataDir, json }) => {
    const { verify } = await import('./cli/verify.ts');
    exitWith(await verify({ dataDir, json }));
  });

addLoadCommand(program);

program
  .command('phases')
  .description('list the phases of the optimisation journey')
  .option('--json', 'print as JSON', false)
  .action(async ({ json }) => {
    const { showPhases } = await import('./cli/phases.ts');
    exitWith(showPhases(json));
  });

addServerOptions(
  program.command('config').description('print the effective configuration and where it comes from'),
)
  .option('--json', 'print as JSON', false)
  .option('--check', 'only check it', false)
  .action(async (flags) => {
    const { showConfig } = await import('./cli/config.ts');
    exitWith(showConfig(flags, { json: flags.json, check: flags.check }));
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof MetricsStreamError) {
    process.stderr.write(`metricsstream: ${error.message}\n`);
    process.exit(error.code === 'CONFIG_INVALID' ? EXIT_USAGE : EXIT_FAILURE);
  }
  throw error;
}
