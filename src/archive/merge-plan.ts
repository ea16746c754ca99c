/** Which files are merged next: neighbours of one day that are still small. */
import { dateOfPath } from './archive-files.ts';
import type { ArchiveFile } from './manifest.ts';

export interface MergePlan {
  readonly date: string;
  readonly files: readonly ArchiveFile[];
  readonly lines: number;
}

/** A merge costs as much as archiving: each file takes part in few of them. */
const FILES_MIN = 8;
/** A file with more lines is not merged again. */
const SMALL_LINES = 16_000_000;
const MERGED_LINES_MAX = 64_000_000;

/** The next merge, or null. Files of one size go together, so that a small one does not rewrite large ones. */
export function nextMerge(files: readonly ArchiveFile[]): MergePlan | null {
  const days = new Map<string, ArchiveFile[]>();
  for (const file of files) {
    if (file.lines > SMALL_LINES) continue;
    // Powers of FILES_MIN: a merged file is in the next class.
    const key = `${dateOfPath(file.path)} ${Math.floor(Math.log(Math.max(1, file.lines)) / Math.log(FILES_MIN))}`;
    days.set(key, [...(days.get(key) ?? []), file]);
  }
  for (const [key, candidates] of days) {
    if (candidates.length < FILES_MIN) continue;
    const [date = ''] = key.split(' ');
    candidates.sort((a, b) => a.first - b.first);
    const chosen: ArchiveFile[] = [];
    let lines = 0;
    for (const file of candidates) {
      if (lines + file.lines > MERGED_LINES_MAX) break;
      chosen.push(file);
      lines += file.lines;
    }
    return { date, files: chosen, lines };
  }
  return null;
}
