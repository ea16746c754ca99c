/**
 * Decides whether the disk has room for commits.
 *
 * The writer reads free space before it writes, every 100 ms or 8 MiB: below `minFreeBytes` it refuses commits before
 * the file system has to. While it refuses, a probe four times a second reads free space and writes a few bytes to a
 * spare file; when both succeed, commits are accepted again. Other write errors belong to the breaker
 * (docs/breaker.md), which uses the same probe.
 */
import { WRITER } from '../telemetry/counters.ts';
import { codeOf, type FileOps, isFileError } from './file-ops.ts';

export const SPACE_CHECK_MS = 100;
export const SPACE_CHECK_BYTES = 8 << 20;
export const PROBE_INTERVAL_MS = 250;

export interface SpaceGuardConfig {
  readonly dataDir: string;
  readonly minFreeBytes: number;
}

/** True for errors that mean that the disk is full: the writer refuses commits until there is room. */
export function isDiskFull(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Why the disk has too little room for any commit, or null. */
export function lackOfSpace(
  ops: FileOps,
  { dataDir, minFreeBytes }: SpaceGuardConfig,
  counters: Float64Array,
): string | null {
  let free: number;
  try {
    free = ops.freeBytes(dataDir);
  } catch (error) {
    return `cannot read the free space: ${codeOf(error)}`;
  }
  counters[WRITER.free_bytes_now] = free;
  return free < minFreeBytes ? `${free} bytes are free, fewer than --min-free-bytes ${minFreeBytes}` : null;
}

/** Probes the disk, in the writer thread. */
export class SpaceGuard {
  /** Why commits are refused, or null while they are accepted. */
  refusal: string | null = null;
  private readonly ops: FileOps;
  private readonly config: SpaceGuardConfig;
  private readonly counters: Float64Array;
  private readonly probe: () => void;
  private nextProbeMs = 0;

  /** @param probe writes a few bytes; throws when the disk does not accept them */
  constructor(ops: FileOps, config: SpaceGuardConfig, counters: Float64Array, probe: () => void) {
    this.ops = ops;
    this.config = config;
    this.counters = counters;
    this.probe = probe;
  }

  refuse(reason: string, nowMs: number): void {
    this.refusal = reason;
    this.nextProbeMs = nowMs + PROBE_INTERVAL_MS;
  }

  /** While commits are refused: true when a probe was due and the disk accepts bytes again. */
  hasRecovered(nowMs: number): boolean {
    if (this.refusal === null || nowMs < this.nextProbeMs) return false;
    this.nextProbeMs = nowMs + PROBE_INTERVAL_MS;
    this.refusal = this.tryDisk();
    return this.refusal === null;
  }

  /** Reads free space and writes a probe: why the disk accepts no commits, or null. */
  tryDisk(): string | null {
    try {
      const lack = lackOfSpace(this.ops, this.config, this.counters);
      if (lack === null) this.probe();
      return lack;
    } catch (error) {
      if (!isFileError(error)) throw error;
      return `the disk does not accept bytes: ${codeOf(error)}`;
    }
  }
}
