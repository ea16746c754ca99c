/**
 * How fast the disk fills, and when only the reserve will be left.
 *
 * Two slopes over the last minutes are looked at, and the steeper one counts: bytes that this server wrote, and free
 * space that went away. Free space sees other programs, too, and what file systems add; own bytes see what free space
 * hides while someone else deletes. Once retention deletes files, own bytes say nothing of growth any more, and only
 * free space counts.
 */
import { WRITER } from '../telemetry/counters.ts';

/** A look this often, over so many looks: five minutes, after which a burst is forgotten. */
const LOOK_MS = 5_000;
const LOOKS = 60;
/** A slope over less than this would be noise. */
const SPAN_MIN_MS = 1_000;

interface Look {
  readonly atMs: number;
  readonly writtenBytes: number;
  readonly segmentsDeleted: number;
  readonly freeBytes: number;
}

export class DiskUse {
  /** Free space below which the server refuses. */
  readonly reserveBytes: number;
  private readonly writer: Float64Array;
  /** Oldest first; the last one is replaced until it is LOOK_MS younger than the one before it. */
  private readonly looks: Look[] = [];
  private measuredBytes = 0;
  private writtenBytes = 0;

  /** @param writer counters of the writer */
  constructor(writer: Float64Array, reserveBytes: number) {
    this.writer = writer;
    this.reserveBytes = reserveBytes;
  }

  /** The writer's own look while it writes, which is at most 100 ms old; else what was measured beside it. */
  get freeBytes(): number {
    const { writer, writtenBytes, measuredBytes } = this;
    const writes = writer[WRITER.bytes_written]! !== writtenBytes || measuredBytes === 0;
    return writes ? writer[WRITER.free_bytes_now]! : measuredBytes;
  }

  /**
   * Notes how things are; to be called about once a second.
   * @param measuredBytes free bytes of the file system  @param nowMs monotonic
   */
  note(measuredBytes: number, nowMs: number): void {
    const { looks, writer } = this;
    this.measuredBytes = measuredBytes;
    this.writtenBytes = writer[WRITER.bytes_written]!;
    const look = {
      atMs: nowMs,
      writtenBytes: this.writtenBytes,
      segmentsDeleted: writer[WRITER.segments_deleted]!,
      freeBytes: measuredBytes,
    };
    const before = looks.at(-2);
    if (before !== undefined && looks.at(-1)!.atMs - before.atMs < LOOK_MS) looks.pop();
    looks.push(look);
    if (looks.length > LOOKS) looks.shift();
  }

  /** 0 while the disk does not fill. */
  get bytesPerSecond(): number {
    const [first] = this.looks;
    const last = this.looks.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < SPAN_MIN_MS) return 0;
    const seconds = (last.atMs - first.atMs) / 1e3;
    const vanished = (first.freeBytes - last.freeBytes) / seconds;
    if (last.segmentsDeleted !== first.segmentsDeleted) return Math.max(0, vanished);
    return Math.max(0, vanished, (last.writtenBytes - first.writtenBytes) / seconds);
  }

  /** Until only the reserve is left: 0 when it is reached, Infinity while the disk does not fill. */
  get fullSeconds(): number {
    const spareBytes = this.freeBytes - this.reserveBytes;
    const { bytesPerSecond } = this;
    if (spareBytes <= 0) return 0;
    return bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : spareBytes / bytesPerSecond;
  }
}
