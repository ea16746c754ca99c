/**
 * A ring of slots between the thread that hands tasks over and one that does them: bodies go there, checksums come
 * back in the same slots.
 *
 * ```
 *  Int32 words (lines of 64 bytes)
 *  line 0     SUBMITTED   tasks handed over     written by the submitter
 *  line 1     ANSWERED    tasks answered        written by the worker
 *  line 2..   slots       SLOTS × { bytes, written by the submitter; checksum, written by the worker }
 *  then       bodies      SLOTS × slotBytes     written by the submitter
 * ```
 * Counts are modulo 2^32. The submitter never has more than SLOTS tasks out, so neither side overtakes the other.
 */
import { alignUp, LINE_BYTES, LINE_I32 } from '../../src/base/shared-memory.ts';
import { DEPTH_MAX } from './tasks.ts';

const SUBMITTED = 0;
const ANSWERED = LINE_I32;
const SLOT_WORDS = 2 * LINE_I32;
const SLOT_I32 = 2;
const SLOTS = DEPTH_MAX;
const SLOT_MASK = SLOTS - 1;
const HEADER_BYTES = (SLOT_WORDS + SLOTS * SLOT_I32) * Int32Array.BYTES_PER_ELEMENT;

export function createTaskRing(slotBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + SLOTS * alignUp(slotBytes, LINE_BYTES));
}

abstract class TaskRing {
  protected readonly words: Int32Array;
  private readonly bodies: readonly Uint8Array[];

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory, 0, HEADER_BYTES / Int32Array.BYTES_PER_ELEMENT);
    const slotBytes = (memory.byteLength - HEADER_BYTES) / SLOTS;
    this.bodies = Array.from(
      { length: SLOTS },
      (_, slot) => new Uint8Array(memory, HEADER_BYTES + slot * slotBytes, slotBytes),
    );
  }

  protected slotOf(task: number): number {
    return SLOT_WORDS + (task & SLOT_MASK) * SLOT_I32;
  }

  protected bodyOf(task: number): Uint8Array {
    return this.bodies[task & SLOT_MASK]!;
  }
}

export class TaskSubmitter extends TaskRing {
  private submitted = 0;
  private published = 0;
  private taken = 0;

  submit(body: Uint8Array): void {
    this.bodyOf(this.submitted).set(body);
    this.words[this.slotOf(this.submitted)] = body.length;
    this.submitted = (this.submitted + 1) | 0;
  }

  /** Hands over what was submitted; true when there was anything. */
  publish(): boolean {
    if (this.published === this.submitted) return false;
    this.published = this.submitted;
    // Publishes the slots; pairs with the load in `TaskWorker.take`.
    Atomics.store(this.words, SUBMITTED, this.published);
    return true;
  }

  get outstanding(): boolean {
    return this.taken !== this.published;
  }

  /** Calls back with the checksum of each task answered since the last call, in the order of submits. */
  takeAnswers(answered: (checksum: number) => void): void {
    // Pairs with the store in `TaskWorker.publish`.
    const end = Atomics.load(this.words, ANSWERED);
    while (this.taken !== end) {
      const sum = this.words[this.slotOf(this.taken) + 1]!;
      this.taken = (this.taken + 1) | 0;
      answered(sum);
    }
  }

  /** A promise of the next answers, or null when there are some already. */
  waitForAnswers(): Promise<unknown> | null {
    // Pairs with the store and notify in `TaskWorker.publish`.
    const wait = Atomics.waitAsync(this.words, ANSWERED, this.taken);
    return wait.async ? wait.value : null;
  }
}

export class TaskWorker extends TaskRing {
  private done = 0;

  /** Does all tasks that are there and shows their answers at once; false when there was none. */
  work(checksum: (body: Uint8Array) => number): boolean {
    // Pairs with the store in `TaskSubmitter.publish`.
    const end = Atomics.load(this.words, SUBMITTED);
    if (this.done === end) return false;
    for (; this.done !== end; this.done = (this.done + 1) | 0) {
      const slot = this.slotOf(this.done);
      this.words[slot + 1] = checksum(this.bodyOf(this.done).subarray(0, this.words[slot]!));
    }
    // Publishes the checksums, and gives the slots back; pairs with the load in `TaskSubmitter.takeAnswers`.
    Atomics.store(this.words, ANSWERED, this.done);
    // Pairs with the wait in `TaskSubmitter.waitForAnswers`.
    Atomics.notify(this.words, ANSWERED);
    return true;
  }
}
