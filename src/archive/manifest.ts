/**
 * The manifest of an archive: which Parquet files count, and which commits they hold.
 *
 * `DATA_DIR/archive/manifest.json` is the one place where an archive changes. A commit range may need several files, one
 * for each day, and a merge replaces several files by one. Each such step first makes its files durable under their
 * final names, then replaces the manifest by one rename. So a kill leaves a step done or not done: files
 * that the manifest does not list do not count. Readers take files and commits from one version of the
 * manifest, and read every other commit from the segments.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { codeOf, type FileOps } from '../storage/file-ops.ts';
import type { CommitRange } from './commit-ranges.ts';

export const ARCHIVE_DIRECTORY = 'archive';
const MANIFEST = 'manifest.json';
const VERSION = 1;

/** One Parquet file. It holds all metrics of its day from the archived commits between `first` and `last`. */
export interface ArchiveFile {
  /** Relative to the archive: `date=2026-11-28/1-4000.parquet`. */
  readonly path: string;
  readonly first: number;
  readonly last: number;
  readonly lines: number;
  readonly bytes: number;
  /** Unix milliseconds of its earliest and latest metric. */
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  /** CRC-32 of the whole file, eight hexadecimal digits. */
  readonly crc32: string;
}

/** A segment that was read to its end. It is read again only if its size or time changes. */
export interface ArchivedSegment {
  readonly sequence: number;
  readonly bytes: number;
  readonly mtimeMs: number;
  /** First and last commit with a good seal; 0 if the segment has none. */
  readonly first: number;
  readonly last: number;
  /** Bytes that no seal proves. Such a segment is never deleted. */
  readonly damagedBytes: number;
}

export interface Manifest {
  /** UUID of the log. */
  readonly log: string;
  /** Grows by one with each version. */
  readonly generation: number;
  /** Every commit that was archived, also those whose files have expired since. */
  readonly commits: readonly CommitRange[];
  readonly files: readonly ArchiveFile[];
  readonly segments: readonly ArchivedSegment[];
  /** Lines of all commits that were archived, and of those the lines of expired files. */
  readonly archivedLines: number;
  readonly expiredLines: number;
}

export const EMPTY_MANIFEST: Omit<Manifest, 'log'> = {
  generation: 0,
  commits: [],
  files: [],
  segments: [],
  archivedLines: 0,
  expiredLines: 0,
};

const CRC_MEMBER = ',"crc32":"';
const END = '"}\n';

/**
 * The manifest, or null when the directory has no archive.
 * @throws MetricsStreamError ARCHIVE_DAMAGED when it is damaged, or missing beside archived files; ARCHIVE_FAILED when it
 *   cannot be read, which says nothing about its contents
 */
export function readManifest(dataDir: string): Manifest | null {
  const text = readText(join(dataDir, ARCHIVE_DIRECTORY, MANIFEST));
  if (text === null) {
    if (hasPartitions(dataDir)) throw damaged(dataDir, 'is missing');
    return null;
  }
  const manifest = parse(text);
  if (manifest === null) throw damaged(dataDir, 'is damaged: its CRC does not match');
  return manifest;
}

function damaged(dataDir: string, how: string): MetricsStreamError {
  return new MetricsStreamError(
    'ARCHIVE_DAMAGED',
    `${join(dataDir, ARCHIVE_DIRECTORY, MANIFEST)} ${how}. Run metricsstream archive --once, which rebuilds it from the files.`,
  );
}

function readText(path: string): string | null {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
    throw new MetricsStreamError('ARCHIVE_FAILED', `cannot read ${path}: ${systemErrorText(error)}`, {
      cause: error,
    });
  }
}

function hasPartitions(dataDir: string): boolean {
  try {
    return fs.readdirSync(join(dataDir, ARCHIVE_DIRECTORY)).some((name) => name.startsWith('date='));
  } catch {
    return false;
  }
}

function parse(text: string): Manifest | null {
  const at = text.lastIndexOf(CRC_MEMBER);
  const body = text.slice(0, at);
  if (at < 0 || text !== sealed(body)) return null;
  const { version, ...manifest } = JSON.parse(`${body}}`) as Manifest & { version: number };
  return version === VERSION ? manifest : null;
}

function sealed(body: string): string {
  return `${body}${CRC_MEMBER}${hexOf(zlib.crc32(body))}${END}`;
}

/** A CRC-32 as eight hexadecimal digits. */
export function hexOf(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}

/** Replaces the manifest durably. Throws the file system's error. */
export function writeManifest(ops: FileOps, dataDir: string, manifest: Manifest): void {
  const body = JSON.stringify({ version: VERSION, ...manifest }).slice(0, -1);
  ops.replaceFile(join(dataDir, ARCHIVE_DIRECTORY, MANIFEST), sealed(body));
}
