/**
 * File operations with faults, loaded by the server's writer thread when a test asks for it. Which faults are on
 * is read from a file before each call, so that a test switches them while the server runs.
 */
import { readFileSync } from 'node:fs';
import { type FileOps, nodeFileOps } from '../../src/writer/file-ops.ts';

export interface Faults {
  /** Each data sync takes this much longer. */
  readonly syncDelayMs?: number;
  /** Each data sync fails with this code. */
  readonly syncError?: string;
  /** Each write fails with this code. */
  readonly writeError?: string;
  /** Each write stores at most this many bytes. */
  readonly writeMostBytes?: number;
  /** Each write stores half of its bytes, and what should finish it fails with this code. */
  readonly tornError?: string;
  /** Each write throws what no system call would: a programming error in the writer thread. */
  readonly crash?: boolean;
}

export const FAULTS_VARIABLE = 'METRICSSTREAM_TEST_FAULTS';

function currentFaults(): Faults {
  try {
    return JSON.parse(readFileSync(process.env[FAULTS_VARIABLE] ?? '', 'utf8')) as Faults;
  } catch {
    // No file: no faults.
    return {};
  }
}

function systemError(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: injected, ${call}`), { code, syscall: call, errno: -5 });
}

let torn = false;

/** Throws where this write has to fail, else says how many of its bytes it may store. */
function bytesAllowed(bytes: number, { crash, writeError, writeMostBytes, tornError }: Faults): number {
  if (crash === true) throw new TypeError('injected: a bug in the writer');
  if (writeError !== undefined) throw systemError(writeError, 'write');
  if (tornError === undefined) return Math.min(bytes, writeMostBytes ?? bytes);
  torn = !torn;
  if (!torn) throw systemError(tornError, 'write');
  return Math.ceil(bytes / 2);
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Called by the writer thread in place of the real operations. */
export function createFileOps(): FileOps {
  const ops = nodeFileOps;
  return {
    ...ops,
    write(fd, buffer, offset, length, position) {
      return ops.write(fd, buffer, offset, bytesAllowed(length, currentFaults()), position);
    },
    writev(fd, buffers, position) {
      const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
      const allowed = bytesAllowed(bytes, currentFaults());
      const first = buffers[0];
      if (allowed === bytes || first === undefined) return ops.writev(fd, buffers, position);
      return ops.write(fd, first, 0, Math.min(first.length, allowed), position);
    },
    fdatasync(fd) {
      const { syncDelayMs = 0, syncError } = currentFaults();
      if (syncDelayMs > 0) sleep(syncDelayMs);
      if (syncError !== undefined) throw systemError(syncError, 'fdatasync');
      ops.fdatasync(fd);
    },
    fdatasyncInBackground(fd, done) {
      const { syncDelayMs = 0, syncError } = currentFaults();
      setTimeout(() => {
        if (syncError === undefined) ops.fdatasyncInBackground(fd, done);
        else done(systemError(syncError, 'fdatasync'));
      }, syncDelayMs);
    },
  };
}
