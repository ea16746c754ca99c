/**
 * Decides whether the disk has room for commits now.
 *
 * Free space is looked at before writing, every 100 ms or 8 MiB: below `minFreeBytes` commits are refused before
 * the file system has to. While refusing, a probe four times a second looks at free space and writes a few bytes to
 * a spare file; when both succeed, commits are taken again. What else may be wrong with the disk is the breaker's
 * (docs/breaker.md), which uses the same probe.
 */
import { WRITER } from '../telemetry/counters.ts';
import { codeOf, type FileOps, isFileError } from './file-ops.ts';

export const LOOK_INTERVAL_MS = 100;
export const LOOK_INTERVAL_BYTES = 8 << 20;
export const PROBE_INTERVAL_MS = 250;

export interface SpaceGuardConfig {
  readonly dataDir: string;
  readonly minFreeBytes: number;
}

/** True for errors that say that there is no room: the guard refuses until there is. */
export function isLackOfSpace(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Why there is too little space for any commit, or null. */
export function lackOfSpace(
  ops: FileOps,
  { dataDir, minFreeBytes }: SpaceGuardConfig,
  counters: Float64Array,
): string | null {
  let free: number;
  try {
    free = ops.freeBytes(dataDir);
  } catch (error) {
    return `the free space cannot be read: ${codeOf(error)}`;
  }
  counters[WRITER.free_bytes_now] = free;
  return free < minFreeBytes ? `${free} bytes are free, fewer than --min-free-bytes ${minFreeBytes}` : null;
}

export class SpaceGuard {
  /** Why commits are refused, or null while they are taken. */
  refusal: string | null = null;
  private readonly ops: FileOps;
  private readonly config: SpaceGuardConfig;
  private readonly counters: Float64Array;
  private lookedAtMs = Number.NEGATIVE_INFINITY;
  private bytesSinceLook = 0;
  private nextProbeMs = 0;

  constructor(ops: FileOps, config: SpaceGuardConfig, counters: Float64Array) {
    this.ops = ops;
    this.config = config;
    this.counters = counters;
  }

  /** To be called before a commit of `bytes`: why there is too little space for any, or null. */
  tooLittle(bytes: number, nowMs: number): string | null {
    this.bytesSinceLook += bytes;
    if (nowMs - this.lookedAtMs < LOOK_INTERVAL_MS && this.bytesSinceLook < LOOK_INTERVAL_BYTES) return null;
    return this.look(nowMs);
  }

  private look(nowMs: number): string | null {
    this.lookedAtMs = nowMs;
    this.bytesSinceLook = 0;
    return lackOfSpace(this.ops, this.config, this.counters);
  }

  refuse(reason: string, nowMs: number): void {
    this.refusal = reason;
    this.nextProbeMs = nowMs + PROBE_INTERVAL_MS;
  }

  /** While refusing: true when a probe was due and found that the disk takes bytes again. */
  hasRecovered(nowMs: number, probe: () => void): boolean {
    if (this.refusal === null || nowMs < this.nextProbeMs) return false;
    this.nextProbeMs = nowMs + PROBE_INTERVAL_MS;
    this.refusal = this.tryDisk(nowMs, probe);
    return this.refusal === null;
  }

  /** Looks at free space and writes a probe: why the disk takes no commits, or null. */
  tryDisk(nowMs: number, probe: () => void): string | null {
    try {
      const lack = this.look(nowMs);
      if (lack === null) probe();
      return lack;
    } catch (error) {
      if (!isFileError(error)) throw error;
      return `the disk does not take bytes: ${codeOf(error)}`;
    }
  }
}
