/**
 * Checks every file of an archive against the manifest, without DuckDB: a CRC-32 of all its bytes proves that it still is
 * the file that was compared with the seals when it was written.
 */
import { join } from 'node:path';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { codeOf, isFileError } from '../storage/file-ops.ts';
import { checksumOf } from './archive-files.ts';
import { type CommitRange, lacking, sizeOf } from './commit-ranges.ts';
import { ARCHIVE_DIRECTORY, type ArchiveFile, type Manifest, readManifest } from './manifest.ts';

interface ArchiveProblem {
  /** `archive/…`, relative to the data directory. */
  readonly path: string;
  readonly what: string;
}

export interface ArchiveResult {
  readonly commits: number;
  readonly files: number;
  readonly lines: number;
  readonly bytes: number;
  readonly expiredLines: number;
  readonly problems: readonly ArchiveProblem[];
}

/** @returns null if the directory has no archive */
export function verifyArchive(dataDir: string, log: string | null): ArchiveResult | null {
  let manifest: Manifest | null;
  try {
    manifest = readManifest(dataDir);
  } catch (error) {
    if (!(error instanceof MetricsStreamError)) throw error;
    const problem = { path: join(ARCHIVE_DIRECTORY, 'manifest.json'), what: error.message };
    return { commits: 0, files: 0, lines: 0, bytes: 0, expiredLines: 0, problems: [problem] };
  }
  if (manifest === null) return null;
  const problems: ArchiveProblem[] = [];
  const report = (path: string, what: string | null): void => {
    if (what !== null) problems.push({ path: join(ARCHIVE_DIRECTORY, path), what });
  };
  if (log !== null && manifest.log !== log) report('manifest.json', `it is of another log, ${manifest.log}`);
  const lines = manifest.files.reduce((sum, file) => sum + file.lines, 0);
  const { archivedLines, expiredLines } = manifest;
  if (lines + expiredLines !== archivedLines) {
    report(
      'manifest.json',
      `${archivedLines} lines were archived, the files hold ${lines} and ${expiredLines} expired`,
    );
  }
  for (const file of manifest.files) report(file.path, fileProblem(dataDir, file));
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  return {
    commits: sizeOf(manifest.commits),
    files: manifest.files.length,
    lines,
    bytes,
    expiredLines,
    problems,
  };
}

/** How a file differs from the one that the manifest lists, or null. */
export function fileProblem(dataDir: string, file: ArchiveFile): string | null {
  try {
    const { bytes, crc32 } = checksumOf(join(dataDir, ARCHIVE_DIRECTORY, file.path));
    if (bytes !== file.bytes) return `it has ${bytes} bytes instead of ${file.bytes}`;
    return crc32 === file.crc32 ? null : `its CRC-32 is ${crc32}, the manifest says ${file.crc32}`;
  } catch (error) {
    if (!isFileError(error)) throw error;
    if (codeOf(error) !== 'ENOENT') return `it cannot be read: ${systemErrorText(error)}`;
    // A merge or retention may have replaced it meanwhile.
    const isListed = readManifest(dataDir)?.files.some(({ path }) => path === file.path) ?? true;
    return isListed ? `it is missing, with ${file.lines} metrics` : null;
  }
}

/** The commits of a range that the archive lacks at this moment. */
export function notArchived(dataDir: string, range: CommitRange): CommitRange[] {
  try {
    return lacking(readManifest(dataDir)?.commits ?? [], range);
  } catch {
    // `verifyArchive` reports the damaged manifest.
    return lacking([], range);
  }
}
