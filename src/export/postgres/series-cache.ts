/**
 * A bounded cache from the bytes of a series in a log line to its id in the database, or to its encoded columns.
 *
 * Set-associative: a hash selects a set of eight entries, and the entry of the set used least recently makes room. So a
 * look-up costs the same for any content, and names that a client chose to collide only evict each other. Keys are
 * compared byte by byte. The same series with its tags in another order is another key with the same id.
 */
const WAYS = 8;

export interface CacheStats {
  hits: number;
  misses: number;
  evictions: number;
}

export class SeriesCache {
  readonly stats: CacheStats = { hits: 0, misses: 0, evictions: 0 };
  /** By slot. Above 0: the id. Below 0: the number of a series that waits for its id. 0: its metrics are quarantined. */
  readonly ids: Float64Array;
  /** By slot: encoded columns, or the reason of the quarantine. */
  readonly payloads: (Buffer | string | null)[];
  private readonly setMask: number;
  private readonly hashes: Int32Array;
  private readonly nameLengths: Int32Array;
  /** Name and rest, one after the other; null in an empty slot. */
  private readonly keys: (Uint8Array | null)[];
  private readonly usedAt: Uint32Array;
  private clock = 0;

  /** @param capacity entries at most, rounded up to a power of two */
  constructor(capacity: number) {
    const slots = Math.max(WAYS, 2 ** Math.ceil(Math.log2(capacity)));
    this.setMask = slots / WAYS - 1;
    this.hashes = new Int32Array(slots);
    this.nameLengths = new Int32Array(slots);
    this.usedAt = new Uint32Array(slots);
    this.ids = new Float64Array(slots);
    this.keys = new Array<Uint8Array | null>(slots).fill(null);
    this.payloads = new Array<Buffer | string | null>(slots).fill(null);
  }

  clear(): void {
    this.keys.fill(null);
    this.payloads.fill(null);
    this.usedAt.fill(0);
    this.clock = 0;
  }

  /** The slot of a key, or -1. */
  find(
    hash: number,
    bytes: Uint8Array,
    name: number,
    nameEnd: number,
    rest: number,
    restEnd: number,
  ): number {
    const first = (hash & this.setMask) * WAYS;
    const nameLength = nameEnd - name;
    const length = nameLength + restEnd - rest;
    for (let slot = first; slot < first + WAYS; slot++) {
      const key = this.keys[slot];
      if (key === null || key === undefined) continue;
      if (this.hashes[slot] !== hash || this.nameLengths[slot] !== nameLength || key.length !== length)
        continue;
      if (!isEqual(key, 0, bytes, name, nameEnd) || !isEqual(key, nameLength, bytes, rest, restEnd)) continue;
      this.usedAt[slot] = this.tick();
      this.stats.hits++;
      return slot;
    }
    this.stats.misses++;
    return -1;
  }

  /** Adds a key, which must not be there; returns its slot, with the id still to be set. */
  add(hash: number, bytes: Uint8Array, name: number, nameEnd: number, rest: number, restEnd: number): number {
    const slot = this.oldest((hash & this.setMask) * WAYS);
    if (this.keys[slot] !== null) this.stats.evictions++;
    const key = new Uint8Array(nameEnd - name + restEnd - rest);
    key.set(bytes.subarray(name, nameEnd));
    key.set(bytes.subarray(rest, restEnd), nameEnd - name);
    this.keys[slot] = key;
    this.hashes[slot] = hash;
    this.nameLengths[slot] = nameEnd - name;
    this.payloads[slot] = null;
    this.usedAt[slot] = this.tick();
    return slot;
  }

  private oldest(first: number): number {
    let oldest = first;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.keys[slot] === null) return slot;
      if (this.usedAt[slot]! < this.usedAt[oldest]!) oldest = slot;
    }
    return oldest;
  }

  private tick(): number {
    if (this.clock === 0xffffffff) {
      // All entries look equally old for a moment.
      this.usedAt.fill(0);
      this.clock = 0;
    }
    return ++this.clock;
  }
}

function isEqual(key: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (key[at++] !== bytes[i]) return false;
  return true;
}
