/** `metricsstream archive`: turns closed segments into Parquet. */
import { type Command, Option } from 'commander';
import { MAX_MEMORY_LEAST_BYTES } from '../archive/memory-plan.ts';
import { DAY_MS } from '../config/units.ts';
import { quantityOption } from './flag-values.ts';
import { addProcessOptions } from './process-options.ts';
import { dataDirOption } from './server-options.ts';

const HELP = `
Examples:
  archive --once                                archive what is closed now, and end
  archive --interval 5m --delete-segments       run beside the server, and keep Parquet only
  archive --once --retention-age 365d           also delete what is older than a year

A segment is closed when the server has begun the next one: --segment-age-ms says when at the latest. The process runs
at the lowest priority of CPU and disk. Segments are deleted only with --delete-segments, after their files were read
back and compared, and after every sink of metricsstream export has their commits.

Exit code: 0; 1 for a failure; 2 for a wrong command line.`;

const GIB = 2 ** 30;
const TIB = 2 ** 40;

export function addArchiveCommand(program: Command): void {
  const command = program
    .command('archive')
    .description('turn closed segments into Parquet, partitioned by day, each metric exactly once')
    .addOption(dataDirOption())
    .addOption(new Option('--once', 'end after one pass').default(false))
    .addOption(
      quantityOption('--interval <duration>', 'time between passes', 'duration', '1m', [100, DAY_MS]),
    )
    .addOption(
      new Option(
        '--delete-segments',
        'delete segments once the archive and every sink have their commits',
      ).default(false),
    )
    .addOption(
      new Option(
        '--required-sinks <names>',
        'sinks that must have a commit before its segment is deleted, also if they never exported yet: a,b',
      )
        .env('METRICSSTREAM_REQUIRED_SINKS')
        .default(''),
    )
    .addOption(
      quantityOption('--max-memory <size>', 'memory of the whole process', 'size', '512m', [
        MAX_MEMORY_LEAST_BYTES,
        64 * GIB,
      ]),
    )
    .addOption(quantityOption('--threads <n>', 'threads of DuckDB', 'count', '1', [1, 64]))
    .addOption(
      quantityOption(
        '--retention-age <duration>',
        'delete files whose metrics are all older; 0 keeps them',
        'duration',
        '0',
        [0, 36_500 * DAY_MS],
      ),
    )
    .addOption(
      quantityOption(
        '--retention-bytes <size>',
        'delete the oldest files above this total; 0 keeps them',
        'size',
        '0',
        [0, 1_024 * TIB],
      ),
    )
    .addOption(
      new Option('--priority <level>', 'low yields CPU and disk to all other processes')
        .choices(['low', 'normal'])
        .default('low'),
    )
    .addHelpText('after', HELP);
  addProcessOptions(command).action(async (flags) => {
    const { archiveAction } = await import('./archive-action.ts');
    process.exitCode = await archiveAction(flags);
  });
}
