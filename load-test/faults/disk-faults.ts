/** Faults of a server's disk, as a test or a load scenario describes them, and the environment that brings them in. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { Call, Fault } from './fault-file-ops.ts';

/** One call that fails, and no other. */
export interface FailAt {
  readonly call: 'write' | 'sync' | 'wal';
  /** The k-th such call since this was set, from 1. */
  readonly at: number;
  readonly error: string;
  /** The call creates this file when it fails. */
  readonly struckPath: string;
}

export interface DiskFaults {
  /** Each data sync takes this much longer. */
  readonly syncDelayMs?: number;
  /** The delay covers this many bytes; more bytes take longer in proportion: a disk of limited throughput. */
  readonly syncDelayBytes?: number;
  /** Each data sync takes this much longer for each MiB written since the last. */
  readonly syncMsPerMib?: number;
  /** Each data sync waits until this file is gone. */
  readonly syncHangsWhile?: string;
  /** Each data sync fails with this code. */
  readonly syncError?: string;
  readonly failAt?: FailAt;
  /** Each write takes this much longer. */
  readonly writeDelayMs?: number;
  /** Each write fails with this code. */
  readonly writeError?: string;
  /** Writes fail with `writeError` only while this file exists. */
  readonly writeErrorWhile?: string;
  /** Each write stores at most this many bytes. */
  readonly writeMostBytes?: number;
  /** Each write stores half of its bytes, and the write of the other half fails with this code. */
  readonly tornError?: string;
  /** Each write to the write-ahead log takes this much longer. */
  readonly walDelayMs?: number;
  /** Each write to the write-ahead log stores at most this many bytes, and one block at least. */
  readonly walMostBytes?: number;
  /** Each write throws a TypeError, like a programming error in the writer thread. */
  readonly crash?: boolean;
}

/**
 * The last phase whose stored bytes all pass through file operations. Writes to the write-ahead log of later phases
 * bypass them, so a fault would only reach the segments that are copied behind the answers.
 */
export const FAULTS_REACH_PHASE = 6;

/** The faults as JSON, or the path of a file with them that is read again before each call. */
const FAULTS_VARIABLE = 'METRICSSTREAM_TEST_FAULTS';

const PRELOAD = new URL('./preload.js', import.meta.url).href;
const MIB = 2 ** 20;

/** The environment of a server with these faults, or with those in the file that `faults` names. */
export function faultEnvironment(faults: DiskFaults | string): Record<string, string> {
  const value = typeof faults === 'string' ? faults : JSON.stringify(faults);
  return { NODE_OPTIONS: `--import ${PRELOAD}`, [FAULTS_VARIABLE]: value };
}

/** Adds another module to those that an environment preloads. */
export function withPreload(env: Readonly<Record<string, string>>, path: string): Record<string, string> {
  return { ...env, NODE_OPTIONS: `${env.NODE_OPTIONS ?? ''} --import ${pathToFileURL(path).href}`.trim() };
}

function currentFaults(): DiskFaults {
  const value = process.env[FAULTS_VARIABLE] ?? '';
  if (value.startsWith('{')) return JSON.parse(value) as DiskFaults;
  try {
    return JSON.parse(readFileSync(value, 'utf8')) as DiskFaults;
  } catch {
    // No file: no faults.
    return {};
  }
}

const WRITES: readonly Call[] = ['write', 'writev'];
const SYNCS: readonly Call[] = ['fdatasync', 'fdatasyncInBackground'];

/** Turns the current faults into the fault of each call of one thread. */
export class FaultPlan {
  private unsyncedBytes = 0;
  private isTorn = false;
  private counted = { path: '', calls: 0 };

  readonly faultOf = (call: Call, _nth: number, bytes: number): Fault | undefined => {
    if (WRITES.includes(call)) return this.write(currentFaults(), bytes);
    if (SYNCS.includes(call)) return this.sync(currentFaults());
    return undefined;
  };

  private write(faults: DiskFaults, bytes: number): Fault {
    const {
      crash,
      writeDelayMs: delayMs = 0,
      writeError,
      writeErrorWhile,
      writeMostBytes,
      tornError,
    } = faults;
    const struck = this.strike('write', faults);
    if (struck !== null) return { delayMs, error: struck };
    if (crash === true) throw new TypeError('injected: a bug in the writer');
    const fails = writeError !== undefined && (writeErrorWhile === undefined || existsSync(writeErrorWhile));
    if (fails) return { delayMs, error: writeError };
    let atMost = Math.min(bytes, writeMostBytes ?? bytes);
    if (tornError !== undefined) {
      this.isTorn = !this.isTorn;
      if (!this.isTorn) return { delayMs, error: tornError };
      atMost = Math.ceil(bytes / 2);
    }
    // One number for all files: a segment may be written through two descriptors.
    this.unsyncedBytes += atMost;
    return { delayMs, atMost };
  }

  /** The fault of a write to the write-ahead log. */
  readonly walFaultOf = (bytes: number): Fault => {
    const faults = currentFaults();
    const { walDelayMs: delayMs = 0, walMostBytes = bytes } = faults;
    const error = this.strike('wal', faults);
    return error === null ? { delayMs, atMost: walMostBytes } : { delayMs, error };
  };

  private sync(faults: DiskFaults): Fault {
    const { syncDelayMs = 0, syncDelayBytes = Number.POSITIVE_INFINITY, syncMsPerMib = 0 } = faults;
    const bytes = this.unsyncedBytes;
    this.unsyncedBytes = 0;
    const delayMs = syncDelayMs * Math.max(1, bytes / syncDelayBytes) + (syncMsPerMib * bytes) / MIB;
    const error = this.strike('sync', faults) ?? faults.syncError;
    const { syncHangsWhile: hangsWhile } = faults;
    return {
      delayMs,
      ...(hangsWhile === undefined ? {} : { hangsWhile }),
      ...(error === undefined ? {} : { error }),
    };
  }

  /** The code to fail with if this is the one call that was to fail, or null. */
  private strike(call: FailAt['call'], { failAt }: DiskFaults): string | null {
    if (failAt === undefined || failAt.call !== call) return null;
    if (this.counted.path !== failAt.struckPath) this.counted = { path: failAt.struckPath, calls: 0 };
    this.counted.calls += 1;
    // Threads that write for themselves count separately; the first to arrive strikes for all.
    if (this.counted.calls !== failAt.at || existsSync(failAt.struckPath)) return null;
    writeFileSync(failAt.struckPath, '');
    return failAt.error;
  }
}
