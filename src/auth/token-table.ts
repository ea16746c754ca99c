/**
 * Finds the client of a token. The time of a lookup reveals nothing about the tokens in the table.
 *
 * The presented text is hashed with SHA-256 first, so that step's time depends on this text alone. An index keyed by
 * HalfSipHash finds the digest; each table in each thread draws its own secret key. So the slot that a guess visits, and
 * whether it is occupied, do not depend on how much the guess resembles a token. Within a run of occupied slots,
 * `crypto.timingSafeEqual` compares every digest and does not stop at a match. A scan over all digests would leak no
 * less, and would cost milliseconds of CPU for each wrong guess at 10,000 tokens.
 *
 * Hashing each time costs half a microsecond. A cache of accepted headers would save little and keep tokens in clear.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { ClientKey } from '../base/client-key.ts';
import { powerOfTwoAtLeast } from '../base/shared-memory.ts';
import { halfSipHash } from '../base/siphash.ts';
import { DIGEST_BYTES, type TokenSet } from './token-set.ts';

/** A client, as limits and counters identify it. */
export interface Client {
  readonly classIndex: number;
  /** Its name: a client that changes its token keeps its limits. */
  readonly limitKey: ClientKey;
}

/** Index slots for each token: runs of occupied slots stay short. */
const SLOTS_PER_TOKEN = 4;
const EMPTY = -1;

export class TokenTable {
  /** Tokens in the table. */
  readonly size: number;
  private readonly digests: readonly Uint8Array[];
  private readonly clients: readonly Client[];
  private readonly clientOf: Int32Array;
  /** For each slot, the index of its token, or EMPTY. */
  private readonly slots: Int32Array;
  private readonly key0: number;
  private readonly key1: number;
  private readonly presented = Buffer.alloc(DIGEST_BYTES);
  private readonly hashed = new Int32Array(2);

  constructor({ digests, clientOf, clients }: TokenSet) {
    this.size = clientOf.length;
    this.clientOf = clientOf;
    this.clients = clients.map(({ name, classIndex }) => ({
      classIndex,
      limitKey: new ClientKey(Buffer.from(name, 'latin1')),
    }));
    this.digests = Array.from({ length: this.size }, (_, token) =>
      digests.subarray(token * DIGEST_BYTES, (token + 1) * DIGEST_BYTES),
    );
    const key = randomBytes(8);
    this.key0 = key.readInt32LE(0);
    this.key1 = key.readInt32LE(4);
    this.slots = new Int32Array(powerOfTwoAtLeast(this.size * SLOTS_PER_TOKEN)).fill(EMPTY);
    this.digests.forEach((digest, token) => {
      let slot = this.slotOf(digest);
      while (this.slots[slot] !== EMPTY) slot = this.next(slot);
      this.slots[slot] = token;
    });
  }

  private slotOf(digest: Uint8Array): number {
    halfSipHash(this.key0, this.key1, digest, DIGEST_BYTES, this.hashed);
    return this.hashed[0]! & (this.slots.length - 1);
  }

  private next(slot: number): number {
    return (slot + 1) & (this.slots.length - 1);
  }

  /** The client of `token`, or null. */
  find(token: string): Client | null {
    const { presented, slots, digests } = this;
    // As text: a digest in a new buffer takes twice as long.
    presented.write(hash('sha256', token, 'binary'), 'latin1');
    let found = EMPTY;
    for (let slot = this.slotOf(presented); slots[slot] !== EMPTY; slot = this.next(slot)) {
      const candidate = slots[slot]!;
      if (timingSafeEqual(presented, digests[candidate]!)) found = candidate;
    }
    return found === EMPTY ? null : this.clients[this.clientOf[found]!]!;
  }
}
