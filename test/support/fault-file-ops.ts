/**
 * File operations with faults, loaded by the server's writer thread when a test asks for it. Which faults are on
 * is read from a file before each call, so that a test switches them while the server runs.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type FileOps, nodeFileOps } from '../../src/storage/file-ops.ts';

/** One call that fails, and no other. */
export interface FailAt {
  readonly call: 'write' | 'sync';
  /** The k-th such call since this was set, from 1. */
  readonly at: number;
  readonly error: string;
  /** The file that says that it has failed, made by the call itself. */
  readonly struckPath: string;
}

export interface Faults {
  /** Each data sync takes this much longer. */
  readonly syncDelayMs?: number;
  /** And this much longer for each MiB written since the last: a disk of limited bandwidth. */
  readonly syncMsPerMib?: number;
  /** Each data sync fails with this code. */
  readonly syncError?: string;
  readonly failAt?: FailAt;
  /** Each write takes this much longer. */
  readonly writeDelayMs?: number;
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

/** The call counted last, and how often it was made. */
let counted: { path: string; calls: number } = { path: '', calls: 0 };

/** Throws where this is the call that was to fail. */
function strike(call: FailAt['call'], { failAt }: Faults): void {
  if (failAt === undefined || failAt.call !== call) return;
  if (counted.path !== failAt.struckPath) counted = { path: failAt.struckPath, calls: 0 };
  counted.calls += 1;
  // Threads that write for themselves count each for itself; the first to arrive has struck for all.
  if (counted.calls !== failAt.at || existsSync(failAt.struckPath)) return;
  writeFileSync(failAt.struckPath, '');
  throw systemError(failAt.error, call === 'write' ? 'write' : 'fdatasync');
}

/** Written since the last data sync. */
let unsyncedBytes = 0;

function wrote(bytes: number): number {
  unsyncedBytes += bytes;
  return bytes;
}

/** What the sync that is about to be made takes longer; the next begins at no bytes. */
function syncDelayMs({ syncDelayMs: fixedMs = 0, syncMsPerMib = 0 }: Faults): number {
  const delayMs = fixedMs + (syncMsPerMib * unsyncedBytes) / 2 ** 20;
  unsyncedBytes = 0;
  return delayMs;
}

let torn = false;

/** Throws where this write has to fail, else says how many of its bytes it may store. */
function bytesAllowed(bytes: number, faults: Faults): number {
  const { crash, writeDelayMs = 0, writeError, writeMostBytes, tornError } = faults;
  if (writeDelayMs > 0) sleep(writeDelayMs);
  strike('write', faults);
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
      return wrote(ops.write(fd, buffer, offset, bytesAllowed(length, currentFaults()), position));
    },
    writev(fd, buffers, position) {
      const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
      const allowed = bytesAllowed(bytes, currentFaults());
      const first = buffers[0];
      if (allowed === bytes || first === undefined) return wrote(ops.writev(fd, buffers, position));
      return wrote(ops.write(fd, first, 0, Math.min(first.length, allowed), position));
    },
    fdatasync(fd) {
      const faults = currentFaults();
      const { syncError } = faults;
      const delayMs = syncDelayMs(faults);
      if (delayMs > 0) sleep(delayMs);
      strike('sync', faults);
      if (syncError !== undefined) throw systemError(syncError, 'fdatasync');
      ops.fdatasync(fd);
    },
    fdatasyncInBackground(fd, done) {
      const faults = currentFaults();
      const { syncError } = faults;
      setTimeout(() => {
        try {
          strike('sync', faults);
          if (syncError !== undefined) throw systemError(syncError, 'fdatasync');
        } catch (error) {
          done(error as Error);
          return;
        }
        ops.fdatasyncInBackground(fd, done);
      }, syncDelayMs(faults));
    },
  };
}
