/**
 * Requests to look for in the files, from one generator thread to the watcher: a ring of pairs, single producer,
 * single consumer. A full ring drops the newest.
 *
 * ```
 *  byte 0            8                16                           16 + 16 × SLOTS
 *  ┌────────────────┬────────────────┬──────────────┬──────────────┬─ …
 *  │ written  int32 │ read     int32 │ number   f64 │ intended f64 │
 *  │ by generator   │ by watcher     │ slot 0       │ ms           │
 *  └────────────────┴────────────────┴──────────────┴──────────────┴─ …
 * ```
 * Both count slots and wrap at 2^32; SLOTS is a power of two, so a slot is their remainder.
 */

const SLOTS = 4096;
const WRITTEN_I32 = 0;
const READ_I32 = 2;
const HEADER_BYTES = 16;
const SLOT_F64 = 2;

export const createSampleRing = (): SharedArrayBuffer =>
  new SharedArrayBuffer(HEADER_BYTES + SLOTS * SLOT_F64 * 8);

export class SampleProducer {
  private readonly counts: Int32Array;
  private readonly slots: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.counts = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.slots = new Float64Array(memory, HEADER_BYTES);
  }

  /** @returns false when the ring is full */
  push(number: number, intendedMs: number): boolean {
    const written = this.counts[WRITTEN_I32]!;
    // Pairs with the store in `drain`: the slot's reader is done with it.
    if (((written - Atomics.load(this.counts, READ_I32)) | 0) >= SLOTS) return false;
    const at = (written & (SLOTS - 1)) * SLOT_F64;
    this.slots[at] = number;
    this.slots[at + 1] = intendedMs;
    // Publishes the slot; pairs with the load in `drain`.
    Atomics.store(this.counts, WRITTEN_I32, (written + 1) | 0);
    return true;
  }
}

export class SampleConsumer {
  private readonly counts: Int32Array;
  private readonly slots: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.counts = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.slots = new Float64Array(memory, HEADER_BYTES);
  }

  drain(take: (number: number, intendedMs: number) => void): void {
    // Pairs with the store in `push`.
    const written = Atomics.load(this.counts, WRITTEN_I32);
    let read = this.counts[READ_I32]!;
    for (; read !== written; read = (read + 1) | 0) {
      const at = (read & (SLOTS - 1)) * SLOT_F64;
      take(this.slots[at]!, this.slots[at + 1]!);
    }
    // Frees the slots; pairs with the load in `push`.
    Atomics.store(this.counts, READ_I32, read);
  }
}
