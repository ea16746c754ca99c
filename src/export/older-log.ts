/**
 * Finds a log that was restored from an older copy than its sink, or that lost commits with a disk. The server gives its next
 * commits numbers that the sink already holds, so they would count as shipped.
 */
import { CommitReader, type LogCommit, type LogPlace, placeAfter } from '../storage/commit-reader.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { nodeFileOps } from '../storage/file-ops.ts';
import { logEnd, sealBefore } from '../storage/log-end.ts';
import { readLogRecord } from '../storage/log-record.ts';
import { type Cursor, SinkError } from './sink.ts';

/**
 * The log ends before the sink. It seems so for a moment, too, while the path of the data directory leads to a copy that the
 * server has not followed yet.
 */
export class LogEndsEarly extends SinkError {}

/** A commit in the log, and where it ends. */
export interface HeldCommit extends LogPlace {
  readonly commit: number;
  /** Of its seal. */
  readonly crc32: number;
}

export function heldBy({ segment, offset, bytes, commit, crc32 }: LogCommit): HeldCommit {
  return { segment, offset: offset + bytes, commit, crc32 };
}

/** Whether the commit still ends there: the file may have been deleted, cut or replaced. */
export function isInPlace(dataDir: string, { segment, offset, commit, crc32 }: HeldCommit): boolean {
  const seal = sealBefore(dataDir, segment, offset);
  return seal !== null && seal.commit === commit && seal.crc === crc32;
}

/**
 * The sink's last commit in the log. Null if the log does not hold it, such as after retention: then nothing tells two
 * logs apart that have both gone on behind it.
 * @throws SinkError fatal if the log has another commit of this number, LogEndsEarly if it ends before it with nothing missing
 */
export async function findCursor(
  dataDir: string,
  { commit, segment, crc32 }: Cursor,
  place: string,
): Promise<HeldCommit | null> {
  const found = await findCommit(dataDir, commit);
  if (found === null) {
    const end = await olderLogEnd(dataDir, commit);
    if (end === null) return null;
    const from = `${end + 1}, or from the first commit`;
    throw new LogEndsEarly('fatal', olderLog(place, commit, `${dataDir} ends at commit ${end}`, from));
  }
  // Tables of an older version have no CRC. A start begins a new segment, so a copy that went on is ahead in segments, unless
  // the log had begun one as well.
  const isOther = crc32 === null ? segment > 0 && found.segment > segment : found.crc32 !== crc32;
  if (!isOther) return heldBy(found);
  const text = olderLog(place, commit, `${dataDir} has another commit of this number`, 'the first commit');
  throw new SinkError('fatal', text);
}

function olderLog(place: string, commit: number, found: string, from: string): string {
  return (
    `${place}: holds the log up to commit ${commit}, but ${found}: it was restored from an older copy, or a failed ` +
    'disk took commits back. So new commits get the numbers of others. Stop the server, remove log.json and ' +
    `.log.json there, and start it: the log gets a new id. Then export --from ${from} since.`
  );
}

async function findCommit(dataDir: string, commit: number): Promise<LogCommit | null> {
  const after = commit - 1;
  const reader = new CommitReader(dataDir, { place: placeAfter(dataDir, after), after });
  for await (const item of reader.pass())
    if (item.kind === 'commit') return item.commit === commit ? item : null;
  return null;
}

/**
 * The last commit of a log that ends before `commit`; null for every other log. One with damage, or without its last
 * segments, is another one: the server continues it with new numbers.
 */
async function olderLogEnd(dataDir: string, commit: number): Promise<number | null> {
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
