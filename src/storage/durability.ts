/**
 * What of the open segment is durable, and the syncs that make it so.
 *
 * A failed sync is final: the kernel reports a lost page once and then calls it clean, so a second sync of that file
 * would lie. The range it leaves in doubt is what was written since the last sync that succeeded.
 */
import { monotonicMs } from '../base/clock.ts';
import { NS_PER_MS } from '../base/units.ts';
import { WRITER } from '../telemetry/counters.ts';
import { type Histograms, WRITER_HISTOGRAMS } from '../telemetry/histogram.ts';
import type { FileOps } from './file-ops.ts';
import type { Segment } from './segment.ts';

/** Bytes of a segment whose fate a failed sync leaves unknown. */
export interface DoubtfulRange {
  readonly segment: string;
  readonly from: number;
  readonly to: number;
  readonly lines: number;
}

export class Durability {
  /** Lines written to the open segment and not yet covered by a sync. */
  unsyncedLines = 0;
  private readonly ops: FileOps;
  private readonly counters: Float64Array;
  private readonly histograms: Histograms;
  private segment: Segment | null = null;
  /** Length of the open segment that is on disk for sure. */
  private syncedBytes = 0;
  private syncedAtMs = 0;
  /** The segment that a background sync is working on, and whether it is to be closed after it. */
  private inBackground: Segment | null = null;
  private closeAfterSync = false;

  constructor(ops: FileOps, counters: Float64Array, histograms: Histograms) {
    this.ops = ops;
    this.counters = counters;
    this.histograms = histograms;
  }

  get unsyncedBytes(): number {
    return this.segment === null ? 0 : this.segment.bytes - this.syncedBytes;
  }

  /** True while a background sync runs: its end is told in a later turn of the event loop. */
  get syncing(): boolean {
    return this.inBackground !== null;
  }

  get doubtful(): DoubtfulRange | null {
    if (this.segment === null || this.unsyncedBytes === 0) return null;
    const { path, bytes } = this.segment;
    return { segment: path, from: this.syncedBytes, to: bytes, lines: this.unsyncedLines };
  }

  /** Follows `segment` from its first byte; the one before must have been let go. */
  follow(segment: Segment, nowMs: number): void {
    this.segment = segment;
    this.syncedBytes = 0;
    this.syncedAtMs = nowMs;
  }

  wrote(lines: number, nowMs: number): void {
    // The first bytes after a quiet time start the interval.
    if (this.unsyncedLines === 0) this.syncedAtMs = nowMs;
    this.unsyncedLines += lines;
    this.publishGauges();
  }

  private publishGauges(): void {
    this.counters[WRITER.unsynced_bytes_now] = this.unsyncedBytes;
    this.counters[WRITER.unsynced_lines_now] = this.unsyncedLines;
  }

  /** Makes everything written durable, now. Throws the sync's error. */
  sync(): void {
    if (this.segment === null || this.unsyncedBytes === 0) return;
    const startMs = monotonicMs();
    this.segment.sync();
    this.synced(this.segment.bytes, this.unsyncedLines, startMs);
  }

  /** Monotonic time at which unsynced bytes are `intervalMs` old; infinite when there are none or a sync runs. */
  dueMs(intervalMs: number): number {
    if (this.syncing || this.unsyncedBytes === 0) return Number.POSITIVE_INFINITY;
    return this.syncedAtMs + intervalMs;
  }

  /** The same on the thread pool, while writing goes on. */
  syncInBackground(nowMs: number, failed: (error: Error) => void): void {
    const { segment } = this;
    if (segment === null || this.syncing) return;
    const { bytes } = segment;
    const lines = this.unsyncedLines;
    const startMs = monotonicMs();
    this.inBackground = segment;
    this.ops.fdatasyncInBackground(segment.fd, (error) => {
      this.inBackground = null;
      if (error !== null) failed(error);
      // A rotation may have synced more meanwhile, and followed another segment.
      else if (this.segment === segment && bytes > this.syncedBytes) {
        // What was written since then is at most that old.
        this.syncedAtMs = nowMs;
        this.synced(bytes, lines, startMs);
      }
      if (this.closeAfterSync) segment.close();
      this.closeAfterSync = false;
    });
  }

  private synced(bytes: number, lines: number, startMs: number): void {
    const endMs = monotonicMs();
    this.syncedBytes = bytes;
    this.unsyncedLines -= lines;
    this.counters[WRITER.syncs]! += 1;
    this.histograms.record(WRITER_HISTOGRAMS.sync_ns, Math.round((endMs - startMs) * NS_PER_MS));
    this.publishGauges();
  }

  /** Closes a segment that was synced whole, as soon as no background sync uses its descriptor. */
  letGo(segment: Segment): void {
    if (this.segment === segment) this.segment = null;
    if (this.inBackground === segment) this.closeAfterSync = true;
    else segment.close();
  }
}
