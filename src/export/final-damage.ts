/**
 * Damage that the next start of the server may still repair.
 *
 * A power loss may leave a damaged commit with good ones behind it. If the write-ahead files still hold them all, the start
 * cuts the segment off there, and appends their records again: under other commit numbers. Shipped before, they would be
 * in the sink under numbers that the log gives to other commits.
 */
import { join } from 'node:path';
import { type LogDamage, placeText } from '../storage/commit-reader.ts';
import { codeOf, isFileError, nodeFileOps as ops } from '../storage/file-ops.ts';
import { segmentName } from '../storage/segment-name.ts';
import { findUnsyncedDamage, readWal } from '../wal/recovery.ts';
import { SinkError } from './sink.ts';

/**
 * Reads the write-ahead files and the last segment. If damage is final, so is all other damage in its segment.
 * @throws SinkError `retry` while the damage is not final
 */
export function requireFinal(dataDir: string, damage: LogDamage): void {
  const place = placeText(damage.segment, damage.offset);
  try {
    if (isFinal(dataDir, damage)) return;
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new SinkError('retry', `${place}: damaged, and the log cannot be read: ${codeOf(error)}`);
  }
  throw new SinkError(
    'retry',
    `${place}: damaged, and the next start of the server restores it: start the server on this data directory`,
  );
}

function isFinal(dataDir: string, { segment, offset, bytes }: LogDamage): boolean {
  const found = findUnsyncedDamage(ops, dataDir, readWal(ops, dataDir));
  // A start may have cut it off since it was read.
  return found?.sequence !== segment && ops.stat(join(dataDir, segmentName(segment))).size >= offset + bytes;
}
