/** The command line of `metricsstream explore`. */
import { type Command, Option } from 'commander';
import { MetricsStreamError } from '../base/errors.ts';
import { type OptionKey, specOf } from '../config/options.ts';
import { addLimitOptions, type LimitFlags, limitsOf } from './duckdb-options.ts';
import { printError } from './output.ts';
import { dataDirOption } from './server-options.ts';

const PORT_DEFAULT = '8081';
const PORT_MAX = 65_535;

interface ExploreFlags extends LimitFlags {
  readonly dataDir: string;
  readonly host: string;
  readonly port: string;
  readonly tokensFile?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** The same option and variable as the server's. */
function sharedOption(key: OptionKey, help: string): Option {
  const { flag, variable, placeholder } = specOf(key);
  return new Option(`${flag} ${placeholder}`, help).env(variable);
}

export function addExploreCommand(program: Command): void {
  const command = program
    .command('explore')
    .description('serve a page to browse and plot stored metrics')
    .addOption(dataDirOption())
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port; 0 picks a free one', PORT_DEFAULT)
    .addOption(sharedOption('tokensFile', 'tokens that readers need; read again on SIGHUP'))
    .addOption(sharedOption('tlsCert', 'certificate chain (PEM) to serve HTTPS with; read again on SIGHUP'))
    .addOption(sharedOption('tlsKey', 'private key (PEM) of --tls-cert'));
  addLimitOptions(command).action(async (flags: ExploreFlags) => {
    const { explore } = await import('../explore/explore.ts');
    const { tokensFile, tlsCert, tlsKey } = flags;
    await explore({
      dataDir: flags.dataDir,
      host: flags.host,
      port: portOf(flags.port),
      tokensFile,
      tlsCert,
      tlsKey,
      limits: limitsOf(flags),
      temporaryDirectory: flags.tempDir,
      note: printError,
    });
  });
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : PORT_MAX + 1;
  if (port > PORT_MAX)
    throw new MetricsStreamError('CONFIG_INVALID', `--port ${text}: give a number from 0 to ${PORT_MAX}`);
  return port;
}
