/** The copier's end of a lane: takes records that are durable in the write-ahead file, and says what it did with them. */
import {
  CHECKPOINT,
  COPIED,
  ENTRY_BYTES,
  ENTRY_CRC,
  ENTRY_END,
  ENTRY_LINES,
  ENTRY_OFFSET,
  entryOf,
  FAILED,
  IDLE,
  PUBLISHED,
  RELEASED,
  REOPEN,
  STATE_BYTES,
  STATE_DOUBT_FROM,
  STATE_DOUBT_LINES,
  STATE_DOUBT_TO,
  STATE_FILL,
  STATE_RECORDS,
  viewsOf,
  WANTED,
} from './lane-memory.ts';

export class LaneConsumer {
  readonly bytes: Uint8Array;
  /** The lines of the record that `next` moved to. */
  runOffset = 0;
  runBytes = 0;
  runLines = 0;
  runCrc = 0;
  /** Sequence of the last record taken. */
  taken = 0;
  private readonly words: Int32Array;
  private readonly state: Float64Array;
  private published = 0;
  private takenCursor = 0;
  private released = 0;

  constructor(memory: SharedArrayBuffer) {
    const { words, state, bytes } = viewsOf(memory);
    this.words = words;
    this.state = state;
    this.bytes = bytes;
  }

  /** Bytes of the durable records that were not taken, with their headers and padding. */
  get waitingBytes(): number {
    this.look();
    if (this.taken === this.published) return 0;
    return (this.words[entryOf(this.published) + ENTRY_END]! - this.takenCursor) | 0;
  }

  private look(): void {
    // Pairs with the store in `Lane.acknowledge`.
    this.published += (Atomics.load(this.words, PUBLISHED) - this.published) | 0;
  }

  /** Moves to the next durable record; false when there is none. Its bytes stay valid until `release`. */
  next(): boolean {
    if (this.taken === this.published) {
      this.look();
      if (this.taken === this.published) return false;
    }
    const entry = entryOf(++this.taken);
    this.runOffset = this.words[entry + ENTRY_OFFSET]!;
    this.runBytes = this.words[entry + ENTRY_BYTES]!;
    this.runLines = this.words[entry + ENTRY_LINES]!;
    this.runCrc = this.words[entry + ENTRY_CRC]! >>> 0;
    this.takenCursor = this.words[entry + ENTRY_END]!;
    return true;
  }

  get holdsRuns(): boolean {
    return this.taken !== this.released;
  }

  /** Goes back to the first record that is not released: its commit could not be appended, and is tried again. */
  rewind(): void {
    this.taken = this.released;
  }

  /** Gives the bytes of all records taken back to the producer: they are in segments. */
  release(): void {
    if (!this.holdsRuns) return;
    this.released = this.taken;
    Atomics.store(this.words, COPIED, this.taken | 0);
    // Publishes "no longer read"; pairs with the loads in `Lane.hasRoom` and `Lane.copierIsBehind`, and with its wait.
    Atomics.store(this.words, RELEASED, this.takenCursor);
    Atomics.notify(this.words, RELEASED);
  }

  /** Segments are synced up to record `sequence`: its place in the file may be written again. */
  checkpoint(sequence: number): void {
    // Pairs with the loads in `Lane.placeFor` and `Lane.closeRecord`, and with the wait in `Lane.blockUntilStored`.
    Atomics.store(this.words, CHECKPOINT, sequence | 0);
    Atomics.notify(this.words, CHECKPOINT);
  }

  /** True once after the producer asked: its file runs full. */
  checkpointIsWanted(): boolean {
    // Pairs with the store in `Lane.askForCheckpoint`.
    return Atomics.exchange(this.words, WANTED, 0) === 1;
  }

  /** Before sleeping on the bell: the producer rings for its next record. Look for records once more afterwards. */
  sleep(): void {
    // Pairs with the load in `Lane.copierSleeps`.
    Atomics.store(this.words, IDLE, 1);
  }

  /** The copier comes by itself from now on. */
  wake(): void {
    Atomics.store(this.words, IDLE, 0);
  }

  /** Bytes and records written to the file since the start, and the share of the file in use, as last seen. */
  get figures(): { readonly bytes: number; readonly records: number; readonly fill: number } {
    const { state } = this;
    return { bytes: state[STATE_BYTES]!, records: state[STATE_RECORDS]!, fill: state[STATE_FILL]! };
  }

  /** The doubtful range after a failed write: its place in the file, and its lines. */
  get doubt(): { readonly from: number; readonly to: number; readonly lines: number } {
    const { state } = this;
    return { from: state[STATE_DOUBT_FROM]!, to: state[STATE_DOUBT_TO]!, lines: state[STATE_DOUBT_LINES]! };
  }

  /** The errno of the write that failed, or 0. */
  get failure(): number {
    // Pairs with the store in `Lane.fail`.
    return Atomics.load(this.words, FAILED);
  }

  /** The file was replaced on disk: the producer closes the former one and opens it, also if it writes nothing. */
  replaceFile(): void {
    // Pairs with the load in `Lane.fileIsCurrent`.
    Atomics.add(this.words, REOPEN, 1);
  }
}
