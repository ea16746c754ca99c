/** Allows one archiver for each archive. The kernel releases both locks when their holder ends, even by a kill. */
import fs from 'node:fs';
import { MetricsStreamError } from '../base/errors.ts';
import { acquireLock } from '../base/process-lock.ts';
import { lockDirectory } from '../storage/directory-lock.ts';
import { codeOf } from '../storage/file-ops.ts';

/**
 * Locks the directory of an archive until the function returned is called.
 * @throws MetricsStreamError ARCHIVE_OWNED
 */
export async function lockArchive(directory: string): Promise<() => Promise<void>> {
  const { dev, ino } = fs.statSync(directory, { bigint: true });
  let release: () => Promise<void>;
  try {
    release = await acquireLock(`archive-${dev}-${ino}`);
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') throw owned(directory);
    throw error;
  }
  // Also across network namespaces, where the socket's name is not visible.
  const lock = lockDirectory(directory);
  if (lock.kind === 'conflict') {
    await release();
    throw owned(directory);
  }
  return async () => {
    if (lock.kind === 'locked') fs.closeSync(lock.fd);
    await release();
  };
}

function owned(directory: string): MetricsStreamError {
  return new MetricsStreamError(
    'ARCHIVE_OWNED',
    `another process archives in ${directory}. Let it finish, or stop it.`,
  );
}
