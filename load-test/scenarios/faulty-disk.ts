/**
 * A disk that is slow, or full for a while: file operations that the server's storage loads in place of the real
 * ones (METRICSSTREAM_TEST_FILE_OPS), steered by two variables.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type FileOps, nodeFileOps } from '../../src/writer/file-ops.ts';

const SYNC_DELAY = 'LOAD_TEST_SYNC_DELAY_MS';
const FULL_WHILE = 'LOAD_TEST_FULL_WHILE';

export interface DiskFaults {
  /** Each data sync takes this much longer. */
  readonly syncDelayMs?: number;
  /** Writes fail as on a full disk while this file is there. */
  readonly fullWhile?: string;
}

/** The environment of a server with such a disk. */
export function faultyDisk({ syncDelayMs, fullWhile }: DiskFaults): Record<string, string> {
  return {
    METRICSSTREAM_TEST_FILE_OPS: fileURLToPath(import.meta.url),
    ...(syncDelayMs === undefined ? {} : { [SYNC_DELAY]: String(syncDelayMs) }),
    ...(fullWhile === undefined ? {} : { [FULL_WHILE]: fullWhile }),
  };
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Called by the thread that writes. */
export function createFileOps(): FileOps {
  const delayMs = Number(process.env[SYNC_DELAY] ?? 0);
  const fullWhile = process.env[FULL_WHILE];
  const requireSpace = (): void => {
    if (fullWhile === undefined || !existsSync(fullWhile)) return;
    throw Object.assign(new Error('ENOSPC: injected, write'), {
      code: 'ENOSPC',
      syscall: 'write',
      errno: -28,
    });
  };
  return {
    ...nodeFileOps,
    write(fd, buffer, offset, length, position) {
      requireSpace();
      return nodeFileOps.write(fd, buffer, offset, length, position);
    },
    writev(fd, buffers, position) {
      requireSpace();
      return nodeFileOps.writev(fd, buffers, position);
    },
    fdatasync(fd) {
      if (delayMs > 0) sleep(delayMs);
      nodeFileOps.fdatasync(fd);
    },
    fdatasyncInBackground(fd, done) {
      setTimeout(() => nodeFileOps.fdatasyncInBackground(fd, done), delayMs);
    },
  };
}
