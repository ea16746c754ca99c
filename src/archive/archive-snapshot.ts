/**
 * The contents of the archive at one moment, for readers of stored metrics.
 *
 * A merge and retention delete files, so a snapshot holds every file open and names it by its descriptor: the path works
 * after a rename or a deletion. To read the whole log without overlap or gap:
 *
 * 1. `openArchive`
 * 2. open the segments, and drop the commits that the snapshot's `commits` include
 * 3. begin again unless `isCurrent()`
 *
 * A segment is deleted only after a manifest that includes its commits was published. If the manifest did not change
 * between steps 1 and 3, every segment that was missing in step 2 is therefore in the snapshot.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { codeOf, isFileError } from '../storage/file-ops.ts';
import type { CommitRange } from './commit-ranges.ts';
import { ARCHIVE_DIRECTORY, type ArchiveFile, type Manifest, readManifest } from './manifest.ts';

interface OpenArchiveFile extends ArchiveFile {
  /** Leads to the open file within this process: `/proc/self/fd/20`. */
  readonly openPath: string;
}

export interface ArchiveSnapshot {
  /** Commits in the archive: do not read them from segments. */
  readonly commits: readonly CommitRange[];
  readonly files: readonly OpenArchiveFile[];
  /** False when the archive changed since the snapshot was opened. */
  isCurrent(): boolean;
  close(): void;
}

/** If a listed file is gone, a newer manifest lists its successor. */
const ATTEMPTS = 20;

/**
 * Opens the archive of a data directory. Without an archive the snapshot is empty.
 * @param wanted chooses the files to open, such as those of a range of time
 * @throws MetricsStreamError ARCHIVE_DAMAGED when a file is missing, ARCHIVE_FAILED when one cannot be read
 */
export function openArchive(
  dataDir: string,
  wanted: (file: ArchiveFile) => boolean = () => true,
): ArchiveSnapshot {
  for (let attempt = 1; ; attempt++) {
    const manifest = readManifest(dataDir);
    try {
      return open(dataDir, manifest, wanted);
    } catch (error) {
      if (codeOf(error) === 'ENOENT' && attempt < ATTEMPTS) continue;
      throw openError(error);
    }
  }
}

function openError(error: unknown): unknown {
  if (!isFileError(error)) return error;
  const { code, path = 'an archive file' } = error as NodeJS.ErrnoException;
  const text = `cannot open ${path}: ${systemErrorText(error)}`;
  return code === 'ENOENT'
    ? new MetricsStreamError(
        'ARCHIVE_DAMAGED',
        `${text}. Restore it from a backup; metricsstream verify lists all missing files.`,
        { cause: error },
      )
    : new MetricsStreamError('ARCHIVE_FAILED', text, { cause: error });
}

function open(
  dataDir: string,
  manifest: Manifest | null,
  wanted: (file: ArchiveFile) => boolean,
): ArchiveSnapshot {
  const descriptors: number[] = [];
  const close = (): void => {
    for (const fd of descriptors.splice(0)) fs.closeSync(fd);
  };
  try {
    const files = (manifest?.files ?? []).filter(wanted).map((file) => {
      const fd = fs.openSync(join(dataDir, ARCHIVE_DIRECTORY, file.path), 'r');
      descriptors.push(fd);
      return { ...file, openPath: `/proc/self/fd/${fd}` };
    });
    return {
      commits: manifest?.commits ?? [],
      files,
      isCurrent: () => (readManifest(dataDir)?.generation ?? 0) === (manifest?.generation ?? 0),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
