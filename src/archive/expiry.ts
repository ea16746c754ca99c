/** Which files retention deletes. */
import { dateOfPath } from './archive-files.ts';
import type { ArchiveFile } from './manifest.ts';

export interface Retention {
  /** Delete files whose metrics are all older; 0 keeps them. */
  readonly retentionAgeMs: number;
  /** Delete the oldest files while the archive is larger; 0 keeps them. */
  readonly retentionBytes: number;
}

/**
 * The files to delete, oldest metrics first. Age counts from now or from the newest metric, whichever is earlier: a clock
 * that jumps ahead deletes nothing.
 */
export function expiredFiles(
  files: readonly ArchiveFile[],
  { retentionAgeMs, retentionBytes }: Retention,
  wallMs: number,
): ArchiveFile[] {
  const newestMs = files.reduce((newest, { maxTimeMs }) => Math.max(newest, maxTimeMs), 0);
  const nowMs = Math.min(wallMs, newestMs);
  let total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const expired: ArchiveFile[] = [];
  const oldestFirst = [...files].sort((a, b) => a.maxTimeMs - b.maxTimeMs || compare(a, b));
  for (const file of oldestFirst) {
    const isTooOld = retentionAgeMs > 0 && nowMs - file.maxTimeMs > retentionAgeMs;
    const isTooMuch = retentionBytes > 0 && total > retentionBytes;
    if (!isTooOld && !isTooMuch) break;
    expired.push(file);
    total -= file.bytes;
  }
  return expired;
}

function compare(a: ArchiveFile, b: ArchiveFile): number {
  const [x, y] = [dateOfPath(a.path), dateOfPath(b.path)];
  if (x === y) return a.first - b.first;
  return x < y ? -1 : 1;
}
