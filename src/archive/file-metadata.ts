/**
 * Each Parquet file describes itself in one JSON text in its key-value metadata. The manifest can be made again
 * from these.
 */
import type { CommitRange } from './commit-ranges.ts';
import type { RowSums } from './row-sums.ts';

/** A batch of commits that was archived in one step. */
export interface BatchSource {
  /** The commits of the batch, and the CRC-32 over the four-byte CRCs in their seals. */
  readonly commits: readonly CommitRange[];
  readonly seals: string;
  /** The partitions over which the batch was spread. */
  readonly dates: readonly string[];
}

export interface FileMetadata {
  /** UUID of the log. */
  readonly log: string;
  readonly date: string;
  readonly first: number;
  readonly last: number;
  /** One batch, or those whose files were merged. */
  readonly sources: readonly BatchSource[];
  readonly sums: RowSums;
}

/** Null for metadata that no archive wrote. */
export function parseMetadata(found: unknown): FileMetadata | null {
  const metadata = found as Partial<FileMetadata> | null;
  const isOurs =
    typeof metadata?.log === 'string' && Array.isArray(metadata.sources) && metadata.sums !== undefined;
  return isOurs ? (metadata as FileMetadata) : null;
}
