/**
 * Finds a log that was restored from an older copy than its sink. The server gives its next commits numbers that the sink
 * already holds, so they would count as shipped.
 */
import { CommitReader, placeAfter } from '../storage/commit-reader.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { nodeFileOps } from '../storage/file-ops.ts';
import { logEnd } from '../storage/log-end.ts';
import { readLogRecord } from '../storage/log-record.ts';

/**
 * The last commit of a log that ends before `commit`; null for every other log. One with damage, or without its last
 * segments, is another one: the server continues it with new numbers.
 */
export async function olderLogEnd(dataDir: string, commit: number): Promise<number | null> {
  if (logEnd(dataDir).commit >= commit) return null;
  const { record } = readLogRecord(nodeFileOps, dataDir);
  if (record === null || Math.max(record.commit, record.deletedCommit) >= commit) return null;
  if (record.segment > 0 && !segmentsOf(dataDir).includes(record.segment)) return null;
  const reader = new CommitReader(dataDir, { place: placeAfter(dataDir, commit) });
  let last = 0;
  for await (const item of reader.pass()) {
    if (item.kind !== 'commit') return null;
    last = item.commit;
  }
  return reader.unsettled !== null || last >= commit || last < record.commit ? null : last;
}
