/** `metricsstream explore`: serves the page over a data directory until a signal ends the process. */
import { ClassNames } from '../auth/class-names.ts';
import { type CredentialFiles, readCredentials, tlsFilesOf } from '../auth/credentials.ts';
import { TokenTable } from '../auth/token-table.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { type DuckDBLimits, loadDuckDB } from '../duckdb/duckdb.ts';
import { renderPage } from '../live/page.ts';
import { openSession } from '../query/session.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { Answers } from './answers.ts';
import { startExplore } from './server.ts';

export interface ExploreCommand extends CredentialFiles {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  readonly limits: DuckDBLimits;
  readonly temporaryDirectory: string;
  /** Prints a line for the operator. */
  note(text: string): void;
}

const PAGE = 'explore/page';

/**
 * Returns once it serves.
 * @throws MetricsStreamError with one line
 */
export async function explore(command: ExploreCommand): Promise<void> {
  const { dataDir, host, limits, temporaryDirectory, note } = command;
  loadDuckDB();
  // A wrong directory is found before somebody opens the page.
  segmentsOf(dataDir);
  if ((command.tlsCert === undefined) !== (command.tlsKey === undefined))
    throw new MetricsStreamError('CONFIG_INVALID', '--tls-cert and --tls-key go together: give both');
  const read = () => readCredentials(command, new ClassNames());
  const { tokens, tls, warnings } = read();
  for (const warning of warnings) note(warning);
  const range = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };
  const answers = new Answers(() =>
    openSession({ dataDir, limits, temporaryDirectory, ...range, convertsOnce: true }),
  );
  const server = await startExplore({
    ...command,
    tokens: tokens === null ? null : new TokenTable(tokens),
    tls: tlsFilesOf(command),
    page: renderPage(PAGE),
    answers,
  });
  process.on('SIGHUP', () => {
    try {
      const next = read();
      // First, because it may throw: then both stay as they were.
      server.replaceCertificate();
      server.setTokens(next.tokens === null ? null : new TokenTable(next.tokens));
      note('read tokens and certificate again');
    } catch (error) {
      note(`reload failed: ${(error as Error).message}. Tokens and certificate stay as they were`);
    }
  });
  const isLocal = ['127.0.0.1', '::1', 'localhost'].includes(host);
  if (!isLocal && tokens === null)
    note(
      `${host} is not a local address and there is no --tokens-file: everybody who reaches it can read all metrics`,
    );
  const address = host.includes(':') ? `[${host}]` : host;
  note(`explore at ${tls === null ? 'http' : 'https'}://${address}:${server.port}/`);
}
