import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MIB } from '../../src/base/units.ts';
import { DiskUse } from '../../src/exposition/disk-use.ts';
import { WRITER, WRITER_SLOTS } from '../../src/telemetry/counters.ts';

const RESERVE = 64 * MIB;

/** A disk that is looked at once a second. */
class Rig {
  readonly writer = new Float64Array(WRITER_SLOTS.length);
  readonly use = new DiskUse(this.writer, RESERVE);
  private free: number;
  private nowMs = 1_000;

  constructor(free: number) {
    this.free = free;
    this.use.record(free, this.nowMs);
  }

  /** `seconds` in each of which so much is written, and so much free space goes away. */
  pass(seconds: number, written: number, vanished: number): void {
    for (let second = 0; second < seconds; second++) {
      this.writer[WRITER.bytes_written]! += written;
      this.free -= vanished;
      this.nowMs += 1_000;
      this.writer[WRITER.free_bytes_now] = this.free;
      this.use.record(this.free, this.nowMs);
    }
  }
}

describe('disk use', () => {
  it('of a disk that does not fill is 0, and the time until it is full endless', () => {
    const { use } = new Rig(1000 * MIB);
    assert.equal(use.bytesPerSecond, 0);
    assert.equal(use.fullSeconds, Number.POSITIVE_INFINITY);
    const freed = new Rig(1000 * MIB);
    freed.pass(20, 0, -MIB);
    assert.equal(freed.use.bytesPerSecond, 0);
  });

  it('is what the server writes, also while someone else deletes', () => {
    const rig = new Rig(1000 * MIB);
    rig.pass(20, 2 * MIB, -5 * MIB);
    assert.equal(rig.use.bytesPerSecond, 2 * MIB);
  });

  it('is what goes away, when others write more', () => {
    const rig = new Rig(1000 * MIB);
    rig.pass(20, 2 * MIB, 5 * MIB);
    assert.equal(rig.use.bytesPerSecond, 5 * MIB);
    assert.equal(rig.use.fullSeconds, (900 * MIB - RESERVE) / (5 * MIB));
  });

  it('is only what goes away once retention deletes', () => {
    const rig = new Rig(1000 * MIB);
    rig.pass(20, 2 * MIB, 0);
    assert.equal(rig.use.bytesPerSecond, 2 * MIB);
    rig.writer[WRITER.segments_deleted] = 1;
    rig.pass(20, 2 * MIB, 0);
    assert.equal(rig.use.bytesPerSecond, 0);
  });

  it('forgets a burst after five minutes', () => {
    const rig = new Rig(1000 * MIB);
    rig.pass(10, 10 * MIB, 10 * MIB);
    rig.pass(60, 0, 0);
    assert.ok(rig.use.bytesPerSecond > MIB);
    rig.pass(300, 0, 0);
    assert.equal(rig.use.bytesPerSecond, 0);
  });

  it('leaves no time at the reserve, whether or not the disk fills', () => {
    const rig = new Rig(RESERVE);
    assert.equal(rig.use.fullSeconds, 0);
    rig.pass(5, MIB, MIB);
    assert.equal(rig.use.fullSeconds, 0);
  });
});

describe('free space', () => {
  it("is the writer's own look while it writes, and what was measured while it does not", () => {
    const rig = new Rig(1000 * MIB);
    rig.pass(1, MIB, MIB);
    assert.equal(rig.use.freeBytes, 999 * MIB);
    rig.writer[WRITER.bytes_written]! += MIB;
    rig.writer[WRITER.free_bytes_now] = 998 * MIB;
    assert.equal(rig.use.freeBytes, 998 * MIB);
    rig.pass(1, 0, 100 * MIB);
    rig.writer[WRITER.free_bytes_now] = 998 * MIB;
    assert.equal(rig.use.freeBytes, 899 * MIB);
  });
});
