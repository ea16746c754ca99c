/** `metricsstream export`: ships the log to a sink, exactly once. */
import { type Command, Option } from 'commander';
import { quantityOption } from './flag-values.ts';
import { addProcessOptions } from './process-options.ts';
import { dataDirOption } from './server-options.ts';
import { SINK_KINDS } from './sink-kinds.ts';

const HELP = `
Examples:
  export --to postgres://metrics@db/metrics --init           create the tables, once
  export --to postgres://metrics@db/metrics                  ship the log and follow it
  export --to postgres://metrics@db/metrics --once           ship what is there and end
  export --to nats://n1,n2,n3/METRICS --init                 create the stream, once
  export --status                                            cursors and lag of all sinks of this directory

Give a password by PGPASSWORD or ~/.pgpass, not in the URL: other users can read command lines.

Exit code: 0; 1 for a failure that needs a person; 2 for a wrong command line; 3 if another exporter ships the same log
to the same sink (fenced).`;

export function addExportCommand(program: Command): void {
  const command = program
    .command('export')
    .description('ship the log to another system, each metric exactly once')
    .addOption(new Option('--to <url>', 'the sink'))
    .addOption(dataDirOption())
    .addOption(
      new Option('--name <name>', 'name of the sink, for --required-sinks and metrics (default: its scheme)'),
    )
    .addOption(new Option('--init', 'create or upgrade what the sink needs, and exit'))
    .addOption(new Option('--print-schema', 'print what --init would create, and exit'))
    .addOption(new Option('--status', 'print cursors and lag of all sinks of the data directory, and exit'))
    .addOption(new Option('--json', 'with --status: as JSON'))
    .addOption(new Option('--once', 'end at the end of the log instead of following it'))
    .addOption(
      new Option(
        '--from <commit|time>',
        'begin there if the sink holds nothing; with --once, ship again what it holds from there on',
      ),
    )
    .addOption(
      new Option(
        '--accept-missing',
        'go on where commits are missing from the log, and record them in the quarantine',
      ),
    )
    .addOption(
      quantityOption('--range-bytes <size>', 'bytes of one transaction or message', 'size', '4m', [
        1_024,
        1 << 30,
      ]),
    )
    .addOption(
      quantityOption(
        '--range-age <duration>',
        'longest wait of a commit for others',
        'duration',
        '200ms',
        [1, 60_000],
      ),
    )
    .addOption(
      new Option('--priority <level>', 'low yields CPU to a server on the same machine')
        .choices(['low', 'normal'])
        .default('low'),
    )
    .addHelpText('after', HELP);
  addProcessOptions(command);
  for (const kind of SINK_KINDS) kind.addOptions(command);
  command.action(async (flags) => {
    const { exportAction } = await import('./export-action.ts');
    const { endWith } = await import('./process.ts');
    endWith(await exportAction(flags));
  });
}
