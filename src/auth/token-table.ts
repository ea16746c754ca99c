/**
 * Whose token is this? Looked up by digest, in a time that tells nothing about the tokens in the table.
 *
 * What is presented is hashed with SHA-256 first, so the time spent up to there depends on the presented text alone. The
 * digest is found through an index keyed by HalfSipHash under a key that is drawn for each table in each thread and never
 * shown: which slot a guess looks at, and whether that slot is taken, is independent of how much it resembles a token.
 * Within a run of taken slots every digest is compared, by `crypto.timingSafeEqual` and without stopping at a match. A
 * scan over all digests would give no more, and at 10,000 tokens would cost milliseconds of CPU for each wrong guess.
 *
 * Hashing each time (half a microsecond) is deliberate: a cache of accepted headers saves little of that and would keep
 * tokens in clear.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { powerOfTwoAtLeast } from '../base/shared-memory.ts';
import { halfSipHash } from '../base/siphash.ts';
import { DIGEST_BYTES, type TokenSet } from './token-set.ts';

/** A client as the limits and the counters know it. */
export interface Client {
  readonly classIndex: number;
  /** Its name: a client that changes from one of its tokens to another keeps its limits. */
  readonly limitKey: Uint8Array;
}

/** Index slots for each token: runs of taken slots stay short. */
const SLOTS_PER_TOKEN = 4;
const EMPTY = -1;

export class TokenTable {
  /** Tokens in the table. */
  readonly size: number;
  private readonly digests: readonly Uint8Array[];
  private readonly clients: readonly Client[];
  private readonly clientOf: Int32Array;
  /** Of each slot the index of its token, or EMPTY. */
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
      limitKey: new Uint8Array(Buffer.from(name, 'latin1')),
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

  /** The client that `token` stands for, or null. */
  find(token: string): Client | null {
    const { presented, slots, digests } = this;
    // As text: a digest as a new buffer takes twice as long.
    presented.write(hash('sha256', token, 'binary'), 'latin1');
    let found = EMPTY;
    for (let slot = this.slotOf(presented); slots[slot] !== EMPTY; slot = this.next(slot)) {
      const candidate = slots[slot]!;
      if (timingSafeEqual(presented, digests[candidate]!)) found = candidate;
    }
    return found === EMPTY ? null : this.clients[this.clientOf[found]!]!;
  }
}
