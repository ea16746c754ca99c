/** `metricsstream verify --sink postgres://…`: prints how log and tables differ. */
import { logIdOf } from '../export/log-id.ts';
import type { PostgresOptions } from '../export/postgres/options.ts';
import { compareWithPostgres, type SinkComparison } from '../export/postgres/verify.ts';
import type { VerifySinkOptions } from './sink-kind.ts';

const PROGRESS_MS = 2_000;
const PROBLEMS_SHOWN = 20;

/** Reading needs no other settings. */
const READING: PostgresOptions = {
  layout: null,
  pool: 1,
  connectTimeoutMs: 30_000,
  statementTimeoutMs: 24 * 3_600_000,
  synchronousCommit: 'on',
  seriesCache: 8,
  seriesPerName: 0,
  partitionDays: 1,
  retentionMs: 0,
  ledgerAgeMs: 0,
};

/** @returns the exit code */
export async function verifyPostgres(url: URL, { dataDir, json }: VerifySinkOptions): Promise<number> {
  const log = logIdOf(dataDir);
  let nextMs = performance.now() + PROGRESS_MS;
  const onProgress = (commit: number, of: number): void => {
    if (performance.now() < nextMs) return;
    nextMs = performance.now() + PROGRESS_MS;
    process.stderr.write(`metricsstream: compared commit ${commit} of ${of}\n`);
  };
  const result = await compareWithPostgres(url, { dataDir, log, postgres: READING, onProgress });
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : textOf(result));
  return result.problems.length === 0 ? 0 : 1;
}

function textOf(result: SinkComparison): string {
  const { place, cursor, first, commits, metrics, quarantined } = result;
  const { notYetShipped, notCompared, asWhole, problems } = result;
  const shown = problems
    .slice(0, PROBLEMS_SHOWN)
    .map(({ place: where, text }) => `DIFFERENT: ${where}: ${text}\n`);
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more\n`);
  let text = shown.join('');
  if (asWhole) text += 'the tables were restored from a dump: its transactions are compared as one\n';
  if (first > 1)
    text += `the sink begins at commit ${first}: older ones were not meant for it, or ms_applied has lost them\n`;
  if (notCompared > 0)
    text += `${notCompared} transactions have commits that are damaged or no longer in the log: not compared\n`;
  if (notYetShipped > 0) text += `${notYetShipped} commits are not shipped yet\n`;
  if (quarantined > 0) text += `${quarantined} metrics are in ms_quarantine\n`;
  const verdict = problems.length === 0 ? 'no difference' : `${problems.length} differences`;
  return `${text}${place}: ${commits} commits up to ${cursor}, ${metrics} metrics compared; ${verdict}\n`;
}
