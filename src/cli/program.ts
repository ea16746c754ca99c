/** The subcommands, their exit codes, and one line for every error that an operator can act on. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addLoadCommand } from '../../load-test/command.ts';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { dropForeignVariables } from '../config/environment.ts';
import { addArchiveCommand } from './archive.ts';
import { addConsumeCommand } from './consume.ts';
import { addExploreCommand } from './explore.ts';
import { addExportCommand } from './export.ts';
import { addLearnCommand } from './learn.ts';
import { failOnOutputError, printError } from './output.ts';
import { addQueryCommand } from './query.ts';
import { addServerOptions, dataDirOption, givenTo } from './server-options.ts';
import type { Signals } from './signals.ts';
import { sinkKindOf } from './sink-kinds.ts';

const EXIT_USAGE = 2;
const EXIT_FAILURE = 1;

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const exitWith = (code: number): void => {
  process.exitCode = code;
};

/** One line, although commander puts its suggestions on a second one. */
function usageErrorText(text: string): string {
  const line = text
    .replace(/^error: /, '')
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ');
  return `${line}; see metricsstream --help`;
}

function createProgram(signals: Signals, injectedVariables: readonly string[]): Command {
  const program = new Command('metricsstream')
    .description('Metrics ingestion server: POST /metrics JSON in, durable NDJSON files out.')
    .version(version)
    .configureHelp({ helpWidth: 110 })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        failOnOutputError();
        process.stdout.write(text);
      },
      outputError: (text) => printError(usageErrorText(text)),
    })
    // The server logs through its own output and never writes to process.stdout.
    .hook('preAction', (_program, command) => {
      if (command.name() !== 'serve') failOnOutputError();
    });

  addServerOptions(
    program.command('serve', { isDefault: true }).description('run the server (default)'),
  ).action(async (_flags, command: Command) => {
    const { serve } = await import('./serve.ts');
    process.exit(await serve(givenTo(command), { signals, injectedVariables, version }));
  });

  program
    .command('tail')
    .description('print stored metrics, sound commits only')
    .option('-f, --follow', 'go on printing as metrics are stored', false)
    .option('-n, --lines <n|all>', 'number of last lines to begin with', '10')
    .addOption(dataDirOption())
    .action(async ({ follow, lines, dataDir }) => {
      const { tail } = await import('./tail.ts');
      exitWith(await tail({ follow, lines, dataDir }));
    });

  program
    .command('verify')
    .description('check every seal; exit 1 and name the place on damage')
    .addOption(dataDirOption())
    .option('--archived', 'the oldest segments are kept elsewhere: do not report them as missing', false)
    .option('--json', 'print the result as JSON', false)
    .option(
      '--sink <url>',
      'compare the log with this sink instead; exit 1 and name the place of a difference',
    )
    .action(async ({ dataDir, archived, json, sink }) => {
      if (sink !== undefined) {
        return exitWith(await sinkKindOf('--sink', sink).verify(sink, { dataDir, json }));
      }
      const { verify } = await import('./verify.ts');
      exitWith(await verify({ dataDir, archived, json }));
    });

  addExportCommand(program);

  addConsumeCommand(program);

  addLoadCommand(program);
  addArchiveCommand(program);
  addLearnCommand(program);
  addQueryCommand(program);
  addExploreCommand(program);

  program
    .command('phases')
    .description('list the phases of the optimisation journey')
    .option('--json', 'print as JSON', false)
    .action(async ({ json }) => {
      const { printPhases } = await import('./phases.ts');
      exitWith(printPhases(json));
    });

  addServerOptions(
    program.command('config').description('print the effective configuration and the source of each value'),
  )
    .option('--json', 'print as JSON', false)
    .option('--check', 'check that serve would start with it, and print nothing else', false)
    .action(async ({ json, check }, command: Command) => {
      const { printConfig } = await import('./config.ts');
      exitWith(await printConfig(givenTo(command), injectedVariables, { json, check }));
    });
  return program;
}

/** Prints one line. @returns the exit code, or null for an error that only a developer can act on */
function report(error: unknown): number | null {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (error instanceof MetricsStreamError) {
    printError(error.message);
    return error.code === 'CONFIG_INVALID' ? EXIT_USAGE : EXIT_FAILURE;
  }
  const { syscall, code, path } = error as NodeJS.ErrnoException;
  if (syscall === undefined && code === undefined) return null;
  printError([path ?? syscall, systemErrorText(error)].filter((part) => part !== undefined).join(': '));
  return EXIT_FAILURE;
}

export async function run(signals: Signals): Promise<void> {
  const injectedVariables = dropForeignVariables(process.env);
  try {
    await createProgram(signals, injectedVariables).parseAsync();
  } catch (error) {
    const code = report(error);
    if (code === null) throw error;
    process.exitCode = code;
    // Threads of a server that failed to start would keep the process alive.
    if (!(error instanceof CommanderError)) process.exit(code);
  }
}
