/**
 * The control block: the state of the process that every thread reads, one word per cache line.
 *
 * ```
 *  line 0  LIFECYCLE    Int32  STARTING → READY → DRAINING, or FAILED      written by main
 *  line 1  DISK         Int32  DISK_OK, DISK_REFUSING or DISK_FAILED       written by the writer
 *  line 2  STOP_WRITER  Int32  1: write what is published, sync, and end   written by main
 * ```
 * Each word has one writer at a time, except that any thread stores DISK_FAILED when its write to the write-ahead log
 * fails. Stores and loads are atomic so that a loop that polls a word sees it change.
 */
import { LINE_BYTES, LINE_I32 } from './shared-memory.ts';

const LIFECYCLE = 0;
const DISK = LINE_I32;
const STOP_WRITER = 2 * LINE_I32;

const STARTING = 0;
export const READY = 1;
export const DRAINING = 2;
/** The process ends, as in DRAINING, because storage failed. */
export const FAILED = 3;
export type Lifecycle = typeof STARTING | typeof READY | typeof DRAINING | typeof FAILED;

export const DISK_OK = 0;
/** Not writable now, for example full: requests get 503; the writer probes and resumes. */
export const DISK_REFUSING = 1;
/** A sync failed: nothing more is stored, and the process ends. No other state follows. */
export const DISK_FAILED = 2;
export type DiskState = typeof DISK_OK | typeof DISK_REFUSING | typeof DISK_FAILED;

export function createControlBlock(): SharedArrayBuffer {
  return new SharedArrayBuffer(3 * LINE_BYTES);
}

export class Control {
  private readonly words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
  }

  get lifecycle(): Lifecycle {
    return Atomics.load(this.words, LIFECYCLE) as Lifecycle;
  }

  set lifecycle(lifecycle: Lifecycle) {
    Atomics.store(this.words, LIFECYCLE, lifecycle);
  }

  get disk(): DiskState {
    return Atomics.load(this.words, DISK) as DiskState;
  }

  set disk(state: DiskState) {
    Atomics.store(this.words, DISK, state);
  }

  /**
   * Changes the state from `from` to `to`, so that a failure on another thread is never overwritten.
   * @returns false if the state was not `from`
   */
  changeDisk(from: DiskState, to: DiskState): boolean {
    return Atomics.compareExchange(this.words, DISK, from, to) === from;
  }

  get writerShouldStop(): boolean {
    return Atomics.load(this.words, STOP_WRITER) === 1;
  }

  stopWriter(): void {
    Atomics.store(this.words, STOP_WRITER, 1);
  }
}
