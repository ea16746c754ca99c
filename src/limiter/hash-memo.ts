/**
 * Remembers the keyed hashes of IPv4 addresses, which most clients are known by: a third of a charge was hashing. The hash
 * of any other key is remembered in the key itself, if its owner keeps it for the client's next request.
 *
 * A direct-mapped table in the memory of one thread, one entry of 16 bytes for each slot:
 *
 * ```
 *  Int32   ADDRESS | LOW | HIGH | unused        LOW and HIGH 0: empty, because no client has that hash
 * ```
 * An address that shares its slot with another one is hashed again, so a client that chooses its address gains nothing:
 * the set that it falls into still depends on the secret key alone.
 */
import { type ClientKey, isKept } from '../base/client-key.ts';
import { halfSipHash } from '../base/siphash.ts';

const ADDRESS_BYTES = 4;
/** 256 KiB a thread: three of four charges of 10,000 clients in random order find their hash. */
const SLOT_BITS = 14;
const ENTRY_I32 = 4;
const LOW = 1;
const HIGH = 2;
/** 2^32 divided by the golden ratio: neighbouring addresses fall into distant slots. */
const SPREAD = 0x9e3779b1;

export class HashMemo {
  /** Hash of the last client identified. */
  low = 0;
  high = 0;
  private readonly entries = new Int32Array(ENTRY_I32 << SLOT_BITS);
  private readonly out = new Int32Array(2);
  private readonly key0: number;
  private readonly key1: number;

  /** @param key0 @param key1 the secret key, as `halfSipHash` has it */
  constructor(key0: number, key1: number) {
    this.key0 = key0;
    this.key1 = key1;
  }

  /** Sets `low` and `high` to the hash of `key[0, keyBytes)`; never both to 0. */
  identify(key: Uint8Array, keyBytes: number): void {
    if (keyBytes !== ADDRESS_BYTES) {
      if (isKept(key) && keyBytes === key.length) this.recall(key);
      else this.hash(key, keyBytes);
      return;
    }
    const { entries } = this;
    const address = key[0]! | (key[1]! << 8) | (key[2]! << 16) | (key[3]! << 24);
    const entry = (Math.imul(address, SPREAD) >>> (32 - SLOT_BITS)) * ENTRY_I32;
    const low = entries[entry + LOW]!;
    const high = entries[entry + HIGH]!;
    if (entries[entry] === address && (low | high) !== 0) {
      this.low = low;
      this.high = high;
      return;
    }
    this.hash(key, keyBytes);
    entries[entry] = address;
    entries[entry + LOW] = this.low;
    entries[entry + HIGH] = this.high;
  }

  private recall(key: ClientKey): void {
    if ((key.hashLow | key.hashHigh) !== 0 && key.seed0 === this.key0 && key.seed1 === this.key1) {
      this.low = key.hashLow;
      this.high = key.hashHigh;
      return;
    }
    this.hash(key, key.length);
    key.hashLow = this.low;
    key.hashHigh = this.high;
    key.seed0 = this.key0;
    key.seed1 = this.key1;
  }

  private hash(key: Uint8Array, keyBytes: number): void {
    const { out } = this;
    halfSipHash(this.key0, this.key1, key, keyBytes, out);
    this.low = out[0]!;
    // Two zeros mark a slot of nobody.
    this.high = out[0] === 0 && out[1] === 0 ? 1 : out[1]!;
  }
}
