/** The manifest with which an archiver begins. */
import { MetricsStreamError } from '../base/errors.ts';
import { EMPTY_MANIFEST, type Manifest, readManifest } from './manifest.ts';

/**
 * The manifest of the directory. An empty one stands for a new archive, whose generation is 0, and for a damaged or
 * missing manifest: `reconcile` adds the files to it.
 * @throws MetricsStreamError ARCHIVE_FAILED when the manifest cannot be read, or belongs to another log
 */
export function loadManifest(dataDir: string, log: string, warn: (text: string) => void): Manifest {
  let manifest: Manifest | null;
  try {
    manifest = readManifest(dataDir);
  } catch (error) {
    if (!(error instanceof MetricsStreamError && error.code === 'ARCHIVE_DAMAGED')) throw error;
    warn('the manifest is missing or damaged: made again from the files');
    return { ...EMPTY_MANIFEST, log, generation: Date.now() };
  }
  if (manifest !== null && manifest.log !== log) {
    throw new MetricsStreamError(
      'ARCHIVE_FAILED',
      `${dataDir}/archive holds log ${manifest.log}, and the directory holds log ${log}. Move the archive away.`,
    );
  }
  return manifest ?? { ...EMPTY_MANIFEST, log };
}
