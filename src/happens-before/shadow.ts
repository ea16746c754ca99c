/**
 * The shadow of a shared memory: for each byte, who accessed it last, so that a new access can be compared.
 *
 * The relation is that of the ECMAScript memory model: two accesses to common bytes race if at least one writes, neither
 * happens before the other, and they are not both atomic on exactly the same bytes. Clocks are vectors with one count per
 * thread. Source: C. Flanagan and S. Freund, "FastTrack" (2009), here with all readers kept.
 *
 * A cell covers four bytes until an access touches fewer of them; then each byte has its own. So views of any element size
 * over the same bytes are compared byte by byte.
 */
import type { Field, Layout } from './scenario.ts';

const CELL_BYTES = 4;
const WORD_BYTES = 8;
const ORDERED = 0;
const LATE = 1;
const UNORDERED = 2;

export interface Access {
  readonly thread: number;
  /** The thread's own count at the time of the access. */
  readonly clock: number;
  /** Number of the operation within its thread. */
  readonly operation: number;
  readonly isWrite: boolean;
  readonly isAtomic: boolean;
  readonly byte: number;
  readonly bytes: number;
  readonly how: string;
}

/** The last accesses to the bytes of a cell, each list by thread. */
class Cell {
  plainWrite: Access | null = null;
  plainReads: (Access | undefined)[] = [];
  atomicWrites: (Access | undefined)[] = [];
  atomicReads: (Access | undefined)[] = [];

  copy(): Cell {
    const cell = new Cell();
    cell.plainWrite = this.plainWrite;
    cell.plainReads = [...this.plainReads];
    cell.atomicWrites = [...this.atomicWrites];
    cell.atomicReads = [...this.atomicReads];
    return cell;
  }
}

/** The value of an atomic location: the clock that its last atomic store released, and which operation wrote it. */
export interface Location {
  /** Index that is the same in every execution of an exploration. */
  readonly key: number;
  release: readonly number[] | null;
  writer: number;
  /** The widest atomic access to it. */
  bytes: number;
}

/** Whether a thread, by its number, reads a field late. */
type ReadsLate = (field: Field, thread: number) => boolean;

function isPlainStore({ isAtomic, isWrite }: Access): boolean {
  return isWrite && !isAtomic;
}

export class Shadow {
  readonly index: number;
  private readonly layout: Layout;
  private readonly cells: (Cell | Cell[] | undefined)[] = [];
  private readonly readsLate: ReadsLate;
  /** By cell: ORDERED, LATE or UNORDERED. */
  private readonly relaxed: Uint8Array;
  private readonly words = new Map<number, number>();
  private readonly locations = new Map<number, Location>();

  /** @param index of the memory in its scenario */
  constructor(memory: SharedArrayBuffer, index: number, layout: Layout, readsLate: ReadsLate) {
    this.index = index;
    this.layout = layout;
    this.readsLate = readsLate;
    this.relaxed = new Uint8Array(Math.ceil(memory.byteLength / CELL_BYTES));
    for (const { byte, bytes, unordered, unorderedLoads, late } of layout) {
      const isUnordered = unordered !== undefined || unorderedLoads !== undefined;
      if (!isUnordered && late === undefined) continue;
      const kind = isUnordered ? UNORDERED : LATE;
      this.relaxed.fill(kind, Math.floor(byte / CELL_BYTES), Math.ceil((byte + bytes) / CELL_BYTES));
    }
  }

  /** Whether threads may change at a plain access to this byte, because the layout lets it be unordered. */
  isPoint(byte: number, isWrite: boolean, thread: number): boolean {
    const relaxed = this.relaxed[Math.floor(byte / CELL_BYTES)]!;
    if (relaxed === ORDERED) return false;
    return relaxed === UNORDERED || (!isWrite && this.readsLate(this.fieldOf(byte)!, thread));
  }

  /** Whether all plain accesses to these bytes, at most a word, are points at which threads may change. */
  isUnordered(byte: number, bytes: number): boolean {
    return bytes <= WORD_BYTES && this.relaxed[Math.floor(byte / CELL_BYTES)] === UNORDERED;
  }

  /** The number of the eight bytes around this one. */
  wordAt(byte: number, keyOf: (name: string) => number): number {
    const index = Math.floor(byte / WORD_BYTES);
    const word = this.words.get(index) ?? keyOf(`word ${this.index}:${index}`);
    this.words.set(index, word);
    return word;
  }

  /** Whether an unordered read may see a plain store to this byte. */
  isReadLate(byte: number): boolean {
    return this.relaxed[Math.floor(byte / CELL_BYTES)] !== ORDERED;
  }

  fieldOf(byte: number): Field | undefined {
    return this.layout.find((field) => byte >= field.byte && byte < field.byte + field.bytes);
  }

  /** The name of a byte: its field, and the distance from the field's start if it is not the first. */
  nameOf(byte: number): string {
    const field = this.fieldOf(byte);
    if (field === undefined) return `byte ${byte}, which the layout does not name`;
    return field.byte === byte ? field.name : `${field.name} + ${byte - field.byte}`;
  }

  location(byte: number, keyOf: (name: string) => number): Location {
    let location = this.locations.get(byte);
    if (location === undefined) {
      location = { key: keyOf(`${this.index}:${byte}`), release: null, writer: 0, bytes: 1 };
      this.locations.set(byte, location);
    }
    return location;
  }

  /** Notes an access. Returns an earlier one that races with it, or null. @param clock of the accessing thread */
  touch(access: Access, clock: readonly number[]): Access | null {
    const { byte, bytes } = access;
    const end = byte + bytes;
    let found: Access | null = null;
    for (let at = byte; at < end; ) {
      const index = Math.floor(at / CELL_BYTES);
      const cellEnd = (index + 1) * CELL_BYTES;
      let cell = this.cells[index];
      if (cell === undefined) cell = this.cells[index] = new Cell();
      if (cell instanceof Cell && at % CELL_BYTES === 0 && end >= cellEnd) {
        found ??= this.touchCell(cell, access, clock);
      } else {
        const parts: Cell[] =
          cell instanceof Cell ? Array.from({ length: CELL_BYTES }, () => (cell as Cell).copy()) : cell;
        this.cells[index] = parts;
        for (let part = at; part < Math.min(end, cellEnd); part++)
          found ??= this.touchCell(parts[part % CELL_BYTES]!, access, clock);
      }
      at = cellEnd;
    }
    if (access.isWrite && !access.isAtomic && this.locations.size > 0) this.forgetReleases(byte, end);
    return found;
  }

  /** A plain store releases nothing: a load that reads it learns nothing about its thread. */
  private forgetReleases(from: number, end: number): void {
    for (let byte = from + 1 - WORD_BYTES; byte < end; byte++) {
      const location = this.locations.get(byte);
      // A store to a neighbour leaves the word as it is.
      if (location !== undefined && byte + location.bytes > from) location.release = null;
    }
  }

  private touchCell(cell: Cell, access: Access, clock: readonly number[]): Access | null {
    const { thread, isWrite, isAtomic } = access;
    let found = this.compare(cell.plainWrite ?? undefined, access, clock);
    for (const earlier of cell.atomicWrites) found ??= this.compare(earlier, access, clock);
    if (isWrite) {
      for (const earlier of cell.plainReads) found ??= this.compare(earlier, access, clock);
      for (const earlier of cell.atomicReads) found ??= this.compare(earlier, access, clock);
    }
    if (!isWrite) (isAtomic ? cell.atomicReads : cell.plainReads)[thread] = access;
    else if (isAtomic) cell.atomicWrites[thread] = access;
    else {
      cell.plainWrite = access;
      cell.plainReads.length = cell.atomicReads.length = cell.atomicWrites.length = 0;
    }
    return found;
  }

  /** `earlier` if it races with `access`. */
  private compare(earlier: Access | undefined, access: Access, clock: readonly number[]): Access | null {
    if (earlier === undefined || earlier.thread === access.thread) return null;
    if ((clock[earlier.thread] ?? 0) >= earlier.clock) return null;
    const isSameLocation = earlier.byte === access.byte && earlier.bytes === access.bytes;
    if (earlier.isAtomic && access.isAtomic && isSameLocation) return null;
    const byte = Math.max(earlier.byte, access.byte);
    if (this.isReadLate(byte) && this.mayBeUnordered(this.fieldOf(byte), earlier, access)) return null;
    return earlier;
  }

  private mayBeUnordered(field: Field | undefined, earlier: Access, access: Access): boolean {
    if (field === undefined) return false;
    if (field.unordered !== undefined) return true;
    if (field.unorderedLoads !== undefined) return !isPlainStore(earlier) && !isPlainStore(access);
    const reader = access.isWrite ? earlier : access;
    return !reader.isWrite && this.readsLate(field, reader.thread);
  }
}
