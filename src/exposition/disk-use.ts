/**
 * The rate at which the disk fills, and the time until only the reserve is left.
 *
 * The higher of two slopes over the last minutes counts: bytes that this server wrote, and free space that
 * disappeared. Free space includes other programs and file-system overhead; own bytes reveal growth that deletions by
 * others hide. Once retention deletes files, own bytes no longer measure growth, and only free space counts.
 */
import { MS_PER_SECOND } from '../base/units.ts';
import { WRITER } from '../telemetry/counters.ts';

/** Interval of the points, and their number: five minutes, after which a burst no longer counts. */
const POINT_INTERVAL_MS = 5_000;
const POINTS = 60;
/** A slope over less than this would be noise. */
const SPAN_MIN_MS = 1_000;

interface Point {
  readonly atMs: number;
  readonly writtenBytes: number;
  readonly segmentsDeleted: number;
  readonly freeBytes: number;
}

export class DiskUse {
  /** Free space below which the server refuses requests. */
  readonly reserveBytes: number;
  private readonly writer: Float64Array;
  /** Oldest first. Each record replaces the last point until that is POINT_INTERVAL_MS younger than its predecessor. */
  private readonly points: Point[] = [];
  private measuredBytes = 0;
  private writtenBytes = 0;

  /** @param writer counters of the writer */
  constructor(writer: Float64Array, reserveBytes: number) {
    this.writer = writer;
    this.reserveBytes = reserveBytes;
  }

  /** The writer's own measurement while it writes (at most 100 ms old), else main's. */
  get freeBytes(): number {
    const { writer, writtenBytes, measuredBytes } = this;
    const writes = writer[WRITER.bytes_written]! !== writtenBytes || measuredBytes === 0;
    return writes ? writer[WRITER.free_bytes_now]! : measuredBytes;
  }

  /**
   * Records the current state; call it about once a second.
   * @param measuredBytes free bytes of the file system  @param nowMs monotonic
   */
  record(measuredBytes: number, nowMs: number): void {
    const { points, writer } = this;
    this.measuredBytes = measuredBytes;
    this.writtenBytes = writer[WRITER.bytes_written]!;
    const point = {
      atMs: nowMs,
      writtenBytes: this.writtenBytes,
      segmentsDeleted: writer[WRITER.segments_deleted]!,
      freeBytes: measuredBytes,
    };
    const before = points.at(-2);
    if (before !== undefined && points.at(-1)!.atMs - before.atMs < POINT_INTERVAL_MS) points.pop();
    points.push(point);
    if (points.length > POINTS) points.shift();
  }

  /** 0 while the disk does not fill. */
  get bytesPerSecond(): number {
    const [first] = this.points;
    const last = this.points.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < SPAN_MIN_MS) return 0;
    const seconds = (last.atMs - first.atMs) / MS_PER_SECOND;
    const vanished = (first.freeBytes - last.freeBytes) / seconds;
    if (last.segmentsDeleted !== first.segmentsDeleted) return Math.max(0, vanished);
    return Math.max(0, vanished, (last.writtenBytes - first.writtenBytes) / seconds);
  }

  /** Seconds until only the reserve is left: 0 once it is reached, Infinity while the disk does not fill. */
  get fullSeconds(): number {
    const spareBytes = this.freeBytes - this.reserveBytes;
    const { bytesPerSecond } = this;
    if (spareBytes <= 0) return 0;
    return bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : spareBytes / bytesPerSecond;
  }
}
