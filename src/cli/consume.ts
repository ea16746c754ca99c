/** `metricsstream consume`: stores the messages of a stream in a database, each metric exactly once. */
import { type Command, Option } from 'commander';
import { quantityOption } from './flag-values.ts';
import { addNatsOptions } from './nats-kind.ts';
import { addPostgresOptions } from './postgres-kind.ts';
import { addProcessOptions } from './process-options.ts';

const HELP = `
Examples:
  consume --from nats://127.0.0.1:4222 --to postgres://metrics@db/metrics
  consume --from nats://n1,n2,n3/METRICS --to postgres://metrics@db/metrics --workers 8 --metrics-port 9108
  consume --from nats://n1 --to postgres://metrics@db/metrics --retry-quarantine

Create the stream with export --to nats://… --init, and the tables with export --to postgres://… --init. Any number of
processes may consume with the same --durable; they share the messages.

Exit code: 0; 1 for a failure that needs a person, or if messages stay in the quarantine; 2 for a wrong command line.`;

const MIB = 1 << 20;

export function addConsumeCommand(program: Command): void {
  const command = program
    .command('consume')
    .description('store the messages of a stream in a database, each metric exactly once')
    .requiredOption('--from <url>', 'the stream: nats://host:4222/STREAM')
    .requiredOption('--to <url>', 'the database: postgres://user@host/database')
    .addOption(
      quantityOption('--workers <n>', 'threads, each with its own connections', 'count', '4', [1, 64]),
    )
    .addOption(
      new Option('--durable <name>', 'name of the consumer that the workers share').default('metricsstream'),
    )
    .addOption(
      quantityOption('--batch-bytes <size>', 'bytes of one transaction', 'size', '2m', [1_024, 64 * MIB]),
    )
    .addOption(
      quantityOption(
        '--held-bytes <size>',
        'bytes of messages that a worker holds at most, but at least one batch',
        'size',
        '16m',
        [MIB, 1_024 * MIB],
      ),
    )
    .addOption(
      quantityOption(
        '--ack-wait <duration>',
        'a message of a worker that died is delivered again after this time',
        'duration',
        '30s',
        [1_000, 3_600_000],
      ),
    )
    .option('--retry-quarantine', 'store the messages of the quarantine, and exit', false)
    .addHelpText('after', HELP);
  addProcessOptions(command);
  addNatsOptions(command);
  addPostgresOptions(command);
  command.action(async (flags) => {
    const { consumeAction } = await import('./consume-action.ts');
    const { endWith } = await import('./process.ts');
    endWith(await consumeAction(flags));
  });
}
