/**
 * A bounded cache from the bytes of a series in a log line to its id in the database, or to its encoded columns.
 *
 * Set-associative: a hash selects a set of eight entries, and the entry of the set used least recently makes room. So a
 * look-up costs the same for any content, and names that a client chose to collide only evict each other. Keys are
 * compared byte by byte. The same series with its tags in another order is another key with the same id.
 *
 * Long names and tags are bounded in bytes as well: beyond them a hand walks over the sets, and takes from each its entry
 * used least recently.
 */
const WAYS = 8;
/** Memory of an entry beside its bytes: objects of the key and of the value, and its slots in the arrays. */
const ENTRY_BYTES = 256;
/** So many bytes for each slot bound the whole: 64 MiB at the default of --series-cache. */
const ENTRY_MEAN_MAX_BYTES = 1_024;

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
  private readonly bytesMax: number;
  /** By slot: memory of the entry. */
  private readonly sizes: Int32Array;
  private usedBytes = 0;
  /** The first slot of the set from which the next entry is taken. */
  private hand = 0;

  /** @param capacity entries at most, rounded up to a power of two; fewer if their mean is above ENTRY_MEAN_MAX_BYTES */
  constructor(capacity: number) {
    const slots = Math.max(WAYS, 2 ** Math.ceil(Math.log2(capacity)));
    this.setMask = slots / WAYS - 1;
    this.bytesMax = slots * ENTRY_MEAN_MAX_BYTES;
    this.hashes = new Int32Array(slots);
    this.nameLengths = new Int32Array(slots);
    this.usedAt = new Uint32Array(slots);
    this.ids = new Float64Array(slots);
    this.sizes = new Int32Array(slots);
    this.keys = new Array<Uint8Array | null>(slots).fill(null);
    this.payloads = new Array<Buffer | string | null>(slots).fill(null);
  }

  clear(): void {
    this.keys.fill(null);
    this.payloads.fill(null);
    this.usedAt.fill(0);
    this.sizes.fill(0);
    this.usedBytes = 0;
    this.clock = 0;
  }

  /** Memory that the entries take. */
  get bytes(): number {
    return this.usedBytes;
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
    if (this.keys[slot] !== null) this.evict(slot);
    const key = new Uint8Array(nameEnd - name + restEnd - rest);
    this.account(slot, ENTRY_BYTES + key.length);
    key.set(bytes.subarray(name, nameEnd));
    key.set(bytes.subarray(rest, restEnd), nameEnd - name);
    this.keys[slot] = key;
    this.hashes[slot] = hash;
    this.nameLengths[slot] = nameEnd - name;
    this.payloads[slot] = null;
    this.usedAt[slot] = this.tick();
    return slot;
  }

  /** Sets the value of a slot that has just been added: encoded columns, or the reason of a quarantine. */
  setPayload(slot: number, payload: Buffer | string): void {
    this.payloads[slot] = payload;
    this.account(slot, payload.length);
  }

  private account(slot: number, bytes: number): void {
    this.sizes[slot] = this.sizes[slot]! + bytes;
    this.usedBytes += bytes;
    for (let sets = 0; this.usedBytes > this.bytesMax && sets <= this.setMask; sets++) {
      const victim = this.oldestExcept(slot);
      this.hand = (this.hand + WAYS) % this.keys.length;
      if (victim >= 0) this.evict(victim);
    }
  }

  /** The entry in the set of the hand that was used least recently and is not `kept`, or -1. */
  private oldestExcept(kept: number): number {
    let oldest = -1;
    for (let slot = this.hand; slot < this.hand + WAYS; slot++) {
      if (slot === kept || this.keys[slot] === null) continue;
      if (oldest < 0 || this.usedAt[slot]! < this.usedAt[oldest]!) oldest = slot;
    }
    return oldest;
  }

  private evict(slot: number): void {
    this.stats.evictions++;
    this.usedBytes -= this.sizes[slot]!;
    this.sizes[slot] = 0;
    this.keys[slot] = null;
    this.payloads[slot] = null;
    // A series that waits for its id does not find its slot any more.
    this.ids[slot] = 0;
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
