/**
 * A disk that is slow, or full or failing for a while: file operations that the server's storage loads in place of the real
 * ones (METRICSSTREAM_TEST_FILE_OPS), steered by a few variables.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type FileOps, nodeFileOps } from '../../src/storage/file-ops.ts';

const SYNC_DELAY = 'LOAD_TEST_SYNC_DELAY_MS';
const SYNC_DELAY_BYTES = 'LOAD_TEST_SYNC_DELAY_BYTES';
const FULL_WHILE = 'LOAD_TEST_FULL_WHILE';
const FAILS_WHILE = 'LOAD_TEST_FAILS_WHILE';

export interface DiskFaults {
  /** Each data sync takes this much longer. */
  readonly syncDelayMs?: number;
  /**
   * So many bytes at most take `syncDelayMs`, and more bytes longer in proportion: a disk of limited throughput.
   * Without it the delay is the same for a sync of any size.
   */
  readonly syncDelayBytes?: number;
  /** Writes fail as on a full disk while this file is there. */
  readonly fullWhile?: string;
  /** Writes fail with EIO while this file is there: there is room, and all the same nothing is stored. */
  readonly failsWhile?: string;
}

/** The environment of a server with such a disk. */
export function faultyDisk(faults: DiskFaults): Record<string, string> {
  const { syncDelayMs, syncDelayBytes, fullWhile, failsWhile } = faults;
  return {
    METRICSSTREAM_TEST_FILE_OPS: fileURLToPath(import.meta.url),
    ...(syncDelayMs === undefined ? {} : { [SYNC_DELAY]: String(syncDelayMs) }),
    ...(syncDelayBytes === undefined ? {} : { [SYNC_DELAY_BYTES]: String(syncDelayBytes) }),
    ...(fullWhile === undefined ? {} : { [FULL_WHILE]: fullWhile }),
    ...(failsWhile === undefined ? {} : { [FAILS_WHILE]: failsWhile }),
  };
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Called by the thread that writes. */
export function createFileOps(): FileOps {
  const delayMs = Number(process.env[SYNC_DELAY] ?? 0);
  const delayBytes = Number(process.env[SYNC_DELAY_BYTES] ?? Number.POSITIVE_INFINITY);
  const writeErrors = [
    { code: 'ENOSPC', errno: -28, path: process.env[FULL_WHILE] },
    { code: 'EIO', errno: -5, path: process.env[FAILS_WHILE] },
  ];
  const failIfToldTo = (): void => {
    for (const { code, errno, path } of writeErrors) {
      if (path === undefined || !existsSync(path)) continue;
      throw Object.assign(new Error(`${code}: injected, write`), { code, errno, syscall: 'write' });
    }
  };
  /** Since the last sync. One number for all files: a segment may be written through two descriptors. */
  let unsyncedBytes = 0;
  const wrote = (bytes: number): number => {
    unsyncedBytes += bytes;
    return bytes;
  };
  const takeDelayMs = (): number => {
    const bytes = unsyncedBytes;
    unsyncedBytes = 0;
    return delayMs * Math.max(1, bytes / delayBytes);
  };
  return {
    ...nodeFileOps,
    write(fd, buffer, offset, length, position) {
      failIfToldTo();
      return wrote(nodeFileOps.write(fd, buffer, offset, length, position));
    },
    writev(fd, buffers, position) {
      failIfToldTo();
      return wrote(nodeFileOps.writev(fd, buffers, position));
    },
    fdatasync(fd) {
      if (delayMs > 0) sleep(takeDelayMs());
      nodeFileOps.fdatasync(fd);
    },
    fdatasyncInBackground(fd, done) {
      setTimeout(() => nodeFileOps.fdatasyncInBackground(fd, done), takeDelayMs());
    },
  };
}
