/**
 * A lane of the write-ahead log: the journal of one serving thread, whose commits go to the lane's own file.
 *
 * Lines are encoded in place, on block boundaries of the lane's memory, so a commit is one direct write of that
 * memory and nothing is copied. While writes are in flight, what is committed gathers into the next record. Only the
 * contiguous finished prefix is acknowledged and handed to the copier (copier.ts), which appends it to the segments.
 * Records beyond the back-end's depth behind that prefix wait in order, so replay can tell damage from a lost write.
 *
 * A write that fails is final, like a failed sync: whether its blocks are on disk is unknown, so records in flight
 * are UNKNOWN, those not yet submitted are REFUSED, and nothing more is accepted.
 */
import { assert } from '../base/errors.ts';
import {
  FULL,
  type Journal,
  type Outcome,
  REFUSED,
  STORED,
  type StorageCost,
  UNKNOWN,
} from '../journal/journal.ts';
import type { BlockWriter } from './block-writer.ts';
import {
  CHECKPOINT,
  ENTRY_BYTES,
  ENTRY_CRC,
  ENTRY_END,
  ENTRY_LINES,
  ENTRY_OFFSET,
  ENTRY_SLOTS,
  entryOf,
  FAILED,
  fileEndOf,
  IDLE,
  type LaneViews,
  PUBLISHED,
  RELEASED,
  REOPEN,
  recordDoubt,
  STATE_BYTES,
  STATE_FILE_HEAD,
  STATE_FILL,
  STATE_HEAD,
  STATE_RECORDS,
  STATE_SEQUENCE,
  viewsOf,
  WANTED,
} from './lane-memory.ts';
import type { LaneOptions } from './lane-options.ts';
import { alignToBlock, BLOCK_BYTES, RECORD_HEADER_BYTES, recordBytes, sealRecord } from './record.ts';

/** A record of several commits ends at this size, so that the copier can bound its own. */
const RECORD_BYTES = 1 << 20;
/** The same as a share of the file: a record that gathered behind slow writes still finds a place. */
const FILE_SHARE = 4;
/** The copier is woken when this share of the memory waits for it, also while it gathers. */
const WAKE_SHARE = 4;
/** Nothing is submitted, so nothing is answered, while this share waits: clients slow down instead of getting 503. */
const WAIT_SHARE = 2;
/** Errors of an open that may soon succeed: the file was removed again, or no descriptor or memory is free. */
const PASSING: ReadonlySet<string> = new Set(['ENOENT', 'EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN']);

export class Lane implements Journal {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly cost: StorageCost;
  private readonly options: LaneOptions;
  private readonly views: LaneViews;
  private writer: BlockWriter;
  private reopenSeen: number;
  /** Byte cursors: start of the open record, and the end of its last committed line. */
  private recordStart: number;
  private head: number;
  private openLines = 0;
  /** Head at the last `publish`: later commits gather until the next one. */
  private handedOver = 0;
  /** Cursors up to which lines are stored, and up to which their records were submitted. */
  private stored: number;
  private submittedCursor: number;
  /** Sequences of the last record closed, submitted, and acknowledged. */
  private closed: number;
  private submitted: number;
  private acknowledged: number;
  private inFlight = 0;
  /** Where the next record goes, as a cursor that only grows; modulo `usableBytes` it is an offset behind block 0. */
  private fileHead: number;
  private readonly usableBytes: number;
  private readonly recordBytesMax: number;
  /** By slot: bytes of the record written so far, and when it was submitted. */
  private readonly written = new Int32Array(ENTRY_SLOTS);
  private readonly submittedMs = new Float64Array(ENTRY_SLOTS);
  private hasFailed = false;
  private awaitsCopier = false;
  private wake: (() => void) | null = null;
  private readonly completed = (tag: number, result: number): void => this.complete(tag, result);

  constructor(options: LaneOptions) {
    this.options = options;
    this.cost = options.cost;
    this.views = viewsOf(options.memory);
    const { words, state, bytes, view } = this.views;
    this.bytes = bytes;
    this.view = view;
    this.usableBytes = options.fileBytes - BLOCK_BYTES;
    this.recordBytesMax = Math.min(RECORD_BYTES, Math.floor(this.usableBytes / FILE_SHARE));
    this.closed = this.submitted = this.acknowledged = state[STATE_SEQUENCE]!;
    this.fileHead = this.closed === 0 ? options.start : state[STATE_FILE_HEAD]!;
    this.head = this.recordStart = this.stored = this.submittedCursor = state[STATE_HEAD]! | 0;
    this.reopenSeen = Atomics.load(words, REOPEN);
    this.writer = options.open(options.path, bytes, this.completed);
  }

  get usedBytes(): number {
    return (this.head - this.stored) | 0;
  }

  claim(maxBytes: number): number {
    if (this.hasFailed) return FULL;
    const { capacityBytes } = this.views;
    if (this.openLines > 0) {
      const offset = this.head & (capacityBytes - 1);
      const blocks = alignToBlock(offset + maxBytes) - offset;
      const isLarge = ((this.head - this.recordStart) | 0) + maxBytes > this.recordBytesMax;
      if (!isLarge && offset + blocks <= capacityBytes)
        return this.hasRoom(this.head + blocks) ? offset : FULL;
      if (!this.closeRecord()) return FULL;
    }
    return this.claimInNewRecord(maxBytes);
  }

  private claimInNewRecord(maxBytes: number): number {
    const { capacityBytes } = this.views;
    const start = this.recordStart & (capacityBytes - 1);
    const needed = recordBytes(maxBytes);
    if (needed > this.usableBytes) return FULL;
    const skip = start + needed > capacityBytes ? capacityBytes - start : 0;
    if (!this.hasRoom(this.recordStart + skip + needed)) return FULL;
    // Nothing is lost if the claim is not used: the next one starts at the same border.
    this.recordStart = (this.recordStart + skip) | 0;
    this.head = (this.recordStart + RECORD_HEADER_BYTES) | 0;
    return this.head & (capacityBytes - 1);
  }

  /** True when nothing before `end` overwrites bytes that the copier still reads. */
  private hasRoom(end: number): boolean {
    // Pairs with the store in `LaneConsumer.release`: the copier no longer reads bytes before this cursor.
    const released = Atomics.load(this.views.words, RELEASED);
    return ((end - released) | 0) <= this.views.capacityBytes;
  }

  commit(endOffset: number, lines: number): number {
    assert(lines > 0, 'a commit holds at least one line');
    const { capacityBytes } = this.views;
    this.head = (this.head + (endOffset - (this.head & (capacityBytes - 1)))) | 0;
    this.openLines += lines;
    if (((this.head - this.recordStart) | 0) >= this.recordBytesMax) this.closeRecord();
    return this.head;
  }

  /** Closes the open record, if there is one; false when no entry is free for it. */
  private closeRecord(): boolean {
    if (this.openLines === 0) return true;
    const { words, bytes, view, capacityBytes } = this.views;
    // Pairs with the store in `LaneConsumer.checkpoint`: entries up to there are not needed any more.
    const uncheckedRecords = ((this.closed | 0) - Atomics.load(words, CHECKPOINT)) | 0;
    if (uncheckedRecords >= ENTRY_SLOTS / 2) this.askForCheckpoint();
    if (uncheckedRecords >= ENTRY_SLOTS) return false;
    const sequence = ++this.closed;
    const offset = this.recordStart & (capacityBytes - 1);
    const lineBytes = ((this.head - this.recordStart) | 0) - RECORD_HEADER_BYTES;
    const { lane, generation } = this.options;
    const header = { lane, generation, sequence, bytes: lineBytes, lines: this.openLines };
    const linesCrc = sealRecord(bytes, view, offset, header);
    const entry = entryOf(sequence);
    words[entry + ENTRY_CRC] = linesCrc;
    words[entry + ENTRY_OFFSET] = offset + RECORD_HEADER_BYTES;
    words[entry + ENTRY_BYTES] = lineBytes;
    words[entry + ENTRY_LINES] = this.openLines;
    words[entry + ENTRY_END] = this.recordStart = (this.recordStart + recordBytes(lineBytes)) | 0;
    this.written[sequence % ENTRY_SLOTS] = 0;
    this.openLines = 0;
    this.head = this.recordStart;
    return true;
  }

  private askForCheckpoint(): void {
    // Pairs with the exchange in `LaneConsumer.checkpointIsWanted`.
    Atomics.store(this.views.words, WANTED, 1);
    this.options.ring();
  }

  /** Submits what is committed. The bell is rung from here when records are durable, so never by the caller. */
  publish(): boolean {
    this.writer.poll();
    this.handedOver = this.head;
    this.advance();
    return false;
  }

  private advance(): void {
    // Also without a record to submit: a file that was removed keeps its space until it is closed.
    if (this.hasFailed || !this.fileIsCurrent()) return;
    const isFree = this.submitted - this.acknowledged < this.writer.depth && this.submitted === this.closed;
    if (isFree && this.handedOver === this.head) this.closeRecord();
    this.submit();
  }

  private submit(): void {
    // Writes that finished behind an unfinished one count as well.
    const window = this.writer.depth;
    while (this.submitted < this.closed && this.submitted - this.acknowledged < window && !this.hasFailed) {
      if (this.copierIsBehind()) return;
      const sequence = this.submitted + 1;
      const bytes = recordBytes(this.views.words[entryOf(sequence) + ENTRY_BYTES]!);
      const fileStart = this.placeFor(bytes);
      if (fileStart < 0) return this.askForCheckpoint();
      this.fileHead = fileStart + bytes;
      this.views.doubles[fileEndOf(sequence)] = this.fileHead;
      this.submitted = sequence;
      this.submittedCursor = this.views.words[entryOf(sequence) + ENTRY_END]!;
      this.submittedMs[sequence % ENTRY_SLOTS] = this.options.now();
      if (this.inFlight++ === 0) this.options.writing(this.submittedMs[sequence % ENTRY_SLOTS]!);
      this.write(sequence);
    }
  }

  /** True while too much waits for the copier; submits again as soon as it has released some. */
  private copierIsBehind(): boolean {
    const { words, capacityBytes } = this.views;
    // Pairs with the store in `LaneConsumer.release`.
    const released = Atomics.load(words, RELEASED);
    if (((this.stored - released) | 0) <= capacityBytes / WAIT_SHARE) return false;
    if (this.awaitsCopier) return true;
    const wait = Atomics.waitAsync(words, RELEASED, released);
    if (!wait.async) return false;
    this.awaitsCopier = true;
    wait.value.then(() => {
      this.awaitsCopier = false;
      this.advance();
    });
    return true;
  }

  /** Opens the file anew if it was replaced on disk. False while that has to wait: the former gets no more records. */
  private fileIsCurrent(): boolean {
    // Pairs with the add in `LaneConsumer.replaceFile`.
    const reopen = Atomics.load(this.views.words, REOPEN);
    if (reopen === this.reopenSeen) return true;
    if (this.inFlight > 0) return false;
    const former = this.writer;
    try {
      this.writer = this.options.open(this.options.path, this.bytes, this.completed);
    } catch (error) {
      const { code = '', errno = 0 } = error as NodeJS.ErrnoException;
      if (!PASSING.has(code)) this.fail(-errno);
      return false;
    }
    this.reopenSeen = reopen;
    former.close();
    return true;
  }

  /** The file cursor at which `bytes` go next, or -1 while records there are not yet synced in segments. */
  private placeFor(bytes: number): number {
    const { words, doubles, state } = this.views;
    const offset = this.fileHead % this.usableBytes;
    const start = this.fileHead + (offset + bytes > this.usableBytes ? this.usableBytes - offset : 0);
    // Pairs with the store in `LaneConsumer.checkpoint`.
    const behind = ((this.submitted | 0) - Atomics.load(words, CHECKPOINT)) | 0;
    const checkpoint = this.submitted - behind;
    // Before the first checkpoint this generation's records begin at its start.
    const tail = checkpoint > 0 ? doubles[fileEndOf(checkpoint)]! : this.options.start;
    const usedBytes = start + bytes - tail;
    state[STATE_FILL] = usedBytes / this.usableBytes;
    if (usedBytes > this.usableBytes / 2) this.askForCheckpoint();
    return usedBytes <= this.usableBytes ? start : -1;
  }

  /** Writes the record, or the rest of it after a short write. */
  private write(sequence: number): void {
    const slot = sequence % ENTRY_SLOTS;
    const { words, doubles } = this.views;
    const entry = entryOf(sequence);
    const bytes = recordBytes(words[entry + ENTRY_BYTES]!);
    const done = this.written[slot]!;
    const fileStart = doubles[fileEndOf(sequence)]! - bytes;
    const status = this.writer.write(
      words[entry + ENTRY_OFFSET]! - RECORD_HEADER_BYTES + done,
      bytes - done,
      BLOCK_BYTES + (fileStart % this.usableBytes) + done,
      slot,
    );
    if (status < 0) this.fail(-status);
  }

  private complete(slot: number, result: number): void {
    if (this.hasFailed) return;
    if (result <= 0) return this.fail(result === 0 ? 0 : -result);
    // The slots in flight are those of the records behind the acknowledged one.
    const first = this.acknowledged + 1;
    const sequence = first + ((slot - (first % ENTRY_SLOTS) + ENTRY_SLOTS) % ENTRY_SLOTS);
    this.written[slot]! += result;
    const bytes = recordBytes(this.views.words[entryOf(sequence) + ENTRY_BYTES]!);
    if (this.written[slot]! < bytes) return this.write(sequence);
    this.inFlight--;
    this.views.state[STATE_BYTES]! += bytes;
    this.views.state[STATE_RECORDS]! += 1;
    this.options.stored(bytes, this.submittedMs[slot]!);
    if (sequence === first) this.acknowledge();
    this.advance();
  }

  /** Acknowledges the contiguous finished prefix. */
  private acknowledge(): void {
    const { words, state } = this.views;
    let last = this.acknowledged;
    while (last < this.submitted && this.isWritten(last + 1)) last++;
    this.acknowledged = last;
    this.options.writing(this.inFlight === 0 ? 0 : this.submittedMs[(last + 1) % ENTRY_SLOTS]!);
    this.stored = words[entryOf(last) + ENTRY_END]!;
    state[STATE_SEQUENCE] = last;
    state[STATE_FILE_HEAD] = this.fileHead;
    state[STATE_HEAD] = this.stored;
    // Publishes the entries up to `last` and the lines they describe; pairs with the load in `LaneConsumer.look`.
    Atomics.store(words, PUBLISHED, last | 0);
    if (this.copierSleeps()) this.options.ring();
    this.settle();
  }

  /** False while the copier comes by itself soon: waking it for each record would cost more than the copy. */
  private copierSleeps(): boolean {
    const { words, capacityBytes } = this.views;
    // Pairs with the store in `LaneConsumer.sleep`: one of the two sides sees the other.
    if (Atomics.load(words, IDLE) === 1) return true;
    const waiting = (this.stored - Atomics.load(words, RELEASED)) | 0;
    return waiting > capacityBytes / WAKE_SHARE;
  }

  private isWritten(sequence: number): boolean {
    const bytes = recordBytes(this.views.words[entryOf(sequence) + ENTRY_BYTES]!);
    return this.written[sequence % ENTRY_SLOTS] === bytes;
  }

  private settle(): void {
    const { wake } = this;
    this.wake = null;
    if (wake !== null) wake();
  }

  private fail(errno: number): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    this.options.writing(0);
    recordDoubt(this.views, this.acknowledged + 1, this.submitted, this.usableBytes);
    // Pairs with the load in `LaneConsumer.failure`.
    Atomics.store(this.views.words, FAILED, errno || -1);
    this.options.failed(errno);
    this.options.ring();
    this.settle();
  }

  storedCursor(): number {
    return this.hasFailed ? this.head : this.stored;
  }

  outcome(cursor: number): Outcome {
    if (((cursor - this.stored) | 0) <= 0) return STORED;
    return ((cursor - this.submittedCursor) | 0) <= 0 ? UNKNOWN : REFUSED;
  }

  waitForStored(seen: number): Promise<unknown> | null {
    if (this.storedCursor() !== seen) return null;
    return new Promise<void>((resolve) => {
      this.wake = resolve;
    });
  }

  /** For the blocking back-end, whose `publish` stores: waits only while the file has no room. */
  blockUntilStored(seen: number, timeoutMs: number): void {
    const { words } = this.views;
    // Loaded before `publish` looks for room: a checkpoint that comes after that look ends the wait at once.
    const checkpoint = Atomics.load(words, CHECKPOINT);
    this.publish();
    if (this.storedCursor() !== seen) return;
    // Pairs with the store and notify in `LaneConsumer.checkpoint`.
    Atomics.wait(words, CHECKPOINT, checkpoint, timeoutMs);
    this.publish();
  }

  /** Waits for the writes in flight and closes the file. */
  close(): void {
    this.writer.close();
  }
}
