/**
 * Brings files and manifest of an archive into agreement, after a kill and after the loss of the manifest.
 *
 * Found files that the manifest does not list are
 * - deleted if their commits count elsewhere: sources of a merge, expired files;
 * - added if their batch is complete: the manifest was lost, or a kill came between the last file and the manifest;
 * - deleted if their batch is not complete and segments hold its commits: these are archived again;
 * - added otherwise: nothing else holds these metrics.
 */
import { MetricsStreamError } from '../base/errors.ts';
import { archivePath, type FoundFile } from './archive-files.ts';
import type { ArchiveStore } from './archive-store.ts';
import { type CommitRange, covers, unite } from './commit-ranges.ts';
import type { FileMetadata } from './file-metadata.ts';
import type { ArchiveFile } from './manifest.ts';
import { commitsInSegments } from './segment-scan.ts';

export interface Reconciled {
  readonly added: number;
  /** Files that cannot be read, with the reason: left in place. */
  readonly unreadable: readonly string[];
}

interface Candidate {
  readonly found: FoundFile;
  readonly metadata: FileMetadata;
  readonly commits: readonly CommitRange[];
}

export async function reconcile(store: ArchiveStore, dataDir: string): Promise<Reconciled> {
  const { manifest, files } = store;
  const listed = new Set(manifest.files.map(({ path }) => path));
  const unlisted = files.find().filter(({ path }) => !listed.has(path));
  if (unlisted.length === 0) return { added: 0, unreadable: [] };
  const { candidates, unreadable } = await read(store, unlisted);
  // A merged file comes before its sources.
  candidates.sort((a, b) => b.metadata.sources.length - a.metadata.sources.length);
  const inSegments = unite(commitsInSegments(dataDir));
  const added: ArchiveFile[] = [];
  const deleted: string[] = [];
  const kept: Candidate[] = [];
  for (const candidate of candidates) {
    const { found, metadata, commits } = candidate;
    const isCounted = commits.every((range) => covers(manifest.commits, range)) || isHeld(kept, candidate);
    const isRepeatable = commits.every((range) => covers(inSegments, range));
    if (isCounted || (isRepeatable && !isComplete(candidate, candidates, listed))) {
      deleted.push(found.path);
      continue;
    }
    kept.push(candidate);
    added.push(store.entryOf(found.path, metadata));
  }
  if (added.length > 0) {
    const commits = unite(manifest.commits, ...kept.map((candidate) => candidate.commits));
    const lines = added.reduce((sum, file) => sum + file.lines, 0);
    store.publish({
      files: [...manifest.files, ...added],
      commits,
      archivedLines: manifest.archivedLines + lines,
    });
  }
  for (const path of deleted) files.delete(path);
  return { added: added.length, unreadable };
}

async function read(
  store: ArchiveStore,
  unlisted: readonly FoundFile[],
): Promise<{ candidates: Candidate[]; unreadable: string[] }> {
  const candidates: Candidate[] = [];
  const unreadable: string[] = [];
  for (const found of unlisted) {
    try {
      const path = store.files.absolute(found.path);
      const metadata = await store.metadataOf(path);
      const difference = await store.difference(path, metadata);
      if (metadata.log !== store.manifest.log) unreadable.push(`${found.path} is of another log`);
      else if (difference !== null) unreadable.push(`${found.path}: ${difference}`);
      else
        candidates.push({
          found,
          metadata,
          commits: unite(...metadata.sources.map(({ commits }) => commits)),
        });
    } catch (error) {
      if (!(error instanceof MetricsStreamError)) throw error;
      unreadable.push(`${found.path}: ${error.message}`);
    }
  }
  return { candidates, unreadable };
}

/** True when a file that is kept holds the rows of this one. */
function isHeld(kept: readonly Candidate[], { found, commits }: Candidate): boolean {
  return kept.some(
    (other) => other.found.date === found.date && commits.every((range) => covers(other.commits, range)),
  );
}

/** True when each day of the batch has its file. Files that were merged were complete before. */
function isComplete(
  { metadata }: Candidate,
  candidates: readonly Candidate[],
  listed: ReadonlySet<string>,
): boolean {
  const [source] = metadata.sources;
  if (source === undefined || metadata.sources.length > 1) return true;
  return source.dates.every(
    (date) =>
      candidates.some(
        (other) => other.found.date === date && source.commits.every((range) => covers(other.commits, range)),
      ) || listed.has(archivePath(date, metadata.first, metadata.last)),
  );
}
