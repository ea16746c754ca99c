/** The manifest as an archiver begins with it. */
import { MetricsStreamError } from '../base/errors.ts';
import { EMPTY_MANIFEST, type Manifest, readManifest } from './manifest.ts';

/**
 * The manifest of the directory; an empty one if there is none, or if it is missing or damaged: `reconcile` then adds
 * the files that are there. Generation 0 means that none was published.
 * @throws MetricsStreamError ARCHIVE_FAILED when the archive belongs to another log
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
