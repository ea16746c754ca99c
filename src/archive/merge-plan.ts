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

/** Files of one day and of one class of size. */
interface Group {
  readonly date: string;
  readonly candidates: ArchiveFile[];
}

/** The next merge, or null. Files of one size go together, so that a small one does not rewrite large ones. */
export function nextMerge(files: readonly ArchiveFile[]): MergePlan | null {
  const groups = new Map<string, Group>();
  for (const file of files) {
    if (file.lines > SMALL_LINES) continue;
    const date = dateOfPath(file.path);
    const key = `${date} ${sizeClassOf(file)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { date, candidates: [file] });
    else group.candidates.push(file);
  }
  for (const { date, candidates } of groups.values()) {
    if (candidates.length < FILES_MIN) continue;
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

/** Powers of FILES_MIN: a merged file is in the next class. */
function sizeClassOf({ lines }: ArchiveFile): number {
  return Math.floor(Math.log(Math.max(1, lines)) / Math.log(FILES_MIN));
}
