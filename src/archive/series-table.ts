/**
 * Numbers the series of a batch: the distinct combinations of name, type and tags, as the bytes that lines have them in.
 *
 * ```
 *  {"timestamp":1700000000000,"name":"cpu.usage","value":42.5,"type":"gauge","tags":{"host":"web-1"}}⏎
 *                                     └─ name ─┘              └──────────────── rest ──────────────┘
 * ```
 * A batch has millions of lines and few series, so a line costs one hash and one comparison of bytes, and everything
 * that depends on the series alone is done once for each series. Two texts of the same tags, such as another order,
 * count as two series: that costs bytes, not correctness.
 */

/** Hash and comparison read whole words: memory must extend this far behind the end of a key. */
export const KEY_SLACK_BYTES = 4;
const SLOTS_MIN = 1 << 10;
const ARENA_MIN_BYTES = 1 << 16;
/** In slots, hashes and starts. */
const BYTES_PER_SERIES = 20;
const MULTIPLIER = 0x9e3779b1;

export interface Series {
  readonly name: string;
  readonly type: string;
  /** A JSON object of strings. */
  readonly tagsJson: string;
}

/** Continues a hash with the bytes `[from, to)`; starts at 0. */
function hashBytes(view: DataView, from: number, to: number, start: number): number {
  let hash = start ^ (to - from);
  let at = from;
  for (; at + 4 <= to; at += 4) {
    hash = Math.imul(hash ^ view.getInt32(at, true), MULTIPLIER);
    hash ^= hash >>> 15;
  }
  const rest = to - at;
  if (rest > 0) {
    hash = Math.imul(hash ^ (view.getInt32(at, true) & ((1 << (rest << 3)) - 1)), MULTIPLIER);
    hash ^= hash >>> 15;
  }
  return hash;
}

export class SeriesTable {
  /** How many series there are: their numbers are 0 to `size - 1`. */
  size = 0;
  /** Series number plus one, by hash; 0 is free. */
  private slots = new Int32Array(SLOTS_MIN);
  /** By series: hash, and where name and rest begin in the arena; `starts[2 * size]` is its end. */
  private hashes = new Int32Array(SLOTS_MIN);
  private starts = new Int32Array(2 * SLOTS_MIN + 1);
  private arena = Buffer.alloc(ARENA_MIN_BYTES);
  private arenaView = viewOf(this.arena);

  /** Bytes in use. */
  get bytes(): number {
    return this.starts[2 * this.size]! + this.size * BYTES_PER_SERIES;
  }

  /** Forgets all series; keeps the memory. */
  clear(): void {
    this.size = 0;
    this.slots.fill(0);
  }

  /**
   * The number of the series with these bytes for name and rest; a new one if it is not known.
   * @param text, view the same memory, with KEY_SLACK_BYTES after the key
   */
  find(
    text: Buffer,
    view: DataView,
    nameFrom: number,
    nameTo: number,
    restFrom: number,
    restTo: number,
  ): number {
    const hash = hashBytes(view, restFrom, restTo, hashBytes(view, nameFrom, nameTo, 0));
    const mask = this.slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const series = this.slots[slot]! - 1;
      if (series < 0) break;
      if (
        this.hashes[series] === hash &&
        this.equals(2 * series, view, nameFrom, nameTo) &&
        this.equals(2 * series + 1, view, restFrom, restTo)
      ) {
        return series;
      }
    }
    return this.add(hash, text.subarray(nameFrom, nameTo), text.subarray(restFrom, restTo));
  }

  private equals(part: number, view: DataView, from: number, to: number): boolean {
    const { arenaView } = this;
    let at = this.starts[part]!;
    const end = this.starts[part + 1]!;
    if (end - at !== to - from) return false;
    for (; at + 4 <= end; at += 4, from += 4) {
      if (arenaView.getInt32(at, true) !== view.getInt32(from, true)) return false;
    }
    const rest = end - at;
    if (rest === 0) return true;
    const difference = arenaView.getInt32(at, true) ^ view.getInt32(from, true);
    return (difference & ((1 << (rest << 3)) - 1)) === 0;
  }

  private add(hash: number, name: Buffer, rest: Buffer): number {
    const series = this.size++;
    if (this.size > this.hashes.length) this.growLists();
    if (2 * this.size > this.slots.length) this.growSlots();
    const at = this.starts[2 * series]!;
    this.growArena(at + name.length + rest.length + KEY_SLACK_BYTES);
    name.copy(this.arena, at);
    rest.copy(this.arena, at + name.length);
    this.starts[2 * series + 1] = at + name.length;
    this.starts[2 * series + 2] = at + name.length + rest.length;
    this.hashes[series] = hash;
    this.occupy(series);
    return series;
  }

  private occupy(series: number): void {
    const mask = this.slots.length - 1;
    let slot = this.hashes[series]! & mask;
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
    this.slots[slot] = series + 1;
  }

  private growLists(): void {
    const hashes = new Int32Array(2 * this.hashes.length);
    hashes.set(this.hashes);
    const starts = new Int32Array(2 * hashes.length + 1);
    starts.set(this.starts);
    this.hashes = hashes;
    this.starts = starts;
  }

  private growSlots(): void {
    this.slots = new Int32Array(2 * this.slots.length);
    for (let series = 0; series < this.size - 1; series++) this.occupy(series);
  }

  private growArena(bytes: number): void {
    if (bytes <= this.arena.length) return;
    const arena = Buffer.alloc(Math.max(bytes, 2 * this.arena.length));
    this.arena.copy(arena);
    this.arena = arena;
    this.arenaView = viewOf(arena);
  }

  /** The bytes of a series that lines have; they are valid until another series is added. */
  texts(series: number): { readonly name: Buffer; readonly rest: Buffer } {
    const [name, rest, end] = this.starts.subarray(2 * series, 2 * series + 3);
    return { name: this.arena.subarray(name, rest), rest: this.arena.subarray(rest, end) };
  }

  /** Name, type and tags of a series. */
  series(series: number): Series {
    const texts = this.texts(series);
    const { type, tags = {} } = JSON.parse(`{"type":"${texts.rest.toString()}`) as {
      type: string;
      tags?: object;
    };
    return {
      name: JSON.parse(`"${texts.name.toString()}"`) as string,
      type,
      tagsJson: JSON.stringify(tags),
    };
  }

  /** All series, ordered so that those with the same name, type and first tags are neighbours. */
  sorted(): number[] {
    const keys = Array.from({ length: this.size }, (_, series) => {
      const [name, rest, end] = this.starts.subarray(2 * series, 2 * series + 3);
      return `${this.arena.toString('latin1', name, rest)}\0${this.arena.toString('latin1', rest, end)}`;
    });
    return keys.map((_, series) => series).sort((a, b) => (keys[a]! < keys[b]! ? -1 : 1));
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}
