/** Options of the processes that run beside a server: `archive`, `export` and `consume`. */
import { type Command, InvalidArgumentError, Option } from 'commander';

const PORT_MAX = 65_535;

export interface ProcessFlags {
  readonly metricsPort?: number;
  readonly metricsHost: string;
  readonly logLevel: string;
}

export function addProcessOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--metrics-port <port>',
        'serve GET /metrics and /health there; 0 picks a free port',
      ).argParser(parsePort),
    )
    .addOption(new Option('--metrics-host <address>', 'address of --metrics-port').default('127.0.0.1'))
    .addOption(
      new Option('--log-level <level>', 'minimum log level')
        .choices(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
        .default('info'),
    );
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : PORT_MAX + 1;
  if (port > PORT_MAX) throw new InvalidArgumentError(`Give a port from 0 to ${PORT_MAX}.`);
  return port;
}
