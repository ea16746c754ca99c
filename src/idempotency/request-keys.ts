/**
 * Idempotency keys as one serving thread uses them: it claims a request's key in the shared table, stamps the
 * request's last line, and settles the claim with the request.
 *
 * Source: "The Idempotency-Key HTTP Header Field", draft-ietf-httpapi-idempotency-key-header-07. A key belongs to its
 * client, as `--client-id` tells clients apart.
 */
import { createHash } from 'node:crypto';
import { crc32 } from '../base/crc32.ts';
import { halfSipHash } from '../base/siphash.ts';
import { HASH_WORDS, writeStamp } from '../encoder/request-stamp.ts';
import type { FileOps } from '../storage/file-ops.ts';
import { WORKER } from '../telemetry/counters.ts';
import { CLAIMED, type ClaimCode, NO_SECRET, REPLAY } from './codes.ts';
import { openSecret, type Secret } from './secret.ts';
import { KeyTable } from './table.ts';

/** First byte of the hashed text, so that a client cannot choose a key that hashes like a body. */
const FROM_HEADER = 0x4b;
const FROM_BODY = 0x42;
const LENGTH_BYTES = 4;

export class RequestKeys {
  private readonly table: KeyTable;
  private readonly counters: Float64Array;
  private readonly ops: FileOps;
  private readonly dataDir: string;
  private readonly secretFailed: (reason: string) => void;
  private secret: Secret | null = null;
  private hasReported = false;
  /** Of the last claim. */
  private readonly hash = new Int32Array(HASH_WORDS);
  private crc = 0;
  private atMs = 0;
  private scratch = Buffer.alloc(1024);
  private readonly half = new Int32Array(2);

  /** @param secretFailed called once with the reason if the secret can be neither read nor created */
  constructor(
    memory: SharedArrayBuffer,
    counters: Float64Array,
    ops: FileOps,
    dataDir: string,
    secretFailed: (reason: string) => void,
  ) {
    this.table = new KeyTable(memory);
    this.counters = counters;
    this.ops = ops;
    this.dataDir = dataDir;
    this.secretFailed = secretFailed;
  }

  /** The entry of the last claim, for `settle`. */
  get entry(): number {
    return this.table.entry;
  }

  /**
   * Claims the key of a request.
   * @param key as the client sent it, without quotes  @param seed tells equal bodies of different types apart
   * @param unixMs the time of receipt
   */
  claim(client: Uint8Array, key: string, body: Uint8Array, seed: number, unixMs: number): ClaimCode {
    return this.claimAs(FROM_HEADER, client, Buffer.from(key, 'latin1'), body, seed, unixMs);
  }

  /** Claims the body itself as the key. Equal bodies are one request, so a 128-bit CRC would not do. */
  claimBody(client: Uint8Array, body: Uint8Array, seed: number, unixMs: number): ClaimCode {
    const digest = createHash('sha256').update(body).digest();
    return this.claimAs(FROM_BODY, client, digest, body, seed, unixMs);
  }

  private claimAs(
    source: number,
    client: Uint8Array,
    key: Buffer,
    body: Uint8Array,
    seed: number,
    unixMs: number,
  ): ClaimCode {
    const { table, counters } = this;
    if (!this.hasSecret()) return NO_SECRET;
    this.setHash(source, client, key);
    this.crc = crc32(body, seed);
    this.atMs = unixMs;
    const code = table.claim(this.hash, this.crc, unixMs);
    if (code === CLAIMED) {
      counters[WORKER.idempotency_in_flight_now]! += 1;
      if (table.hasEvicted) counters[WORKER.idempotency_evictions]! += 1;
    } else if (code === REPLAY) counters[WORKER.idempotency_replays]! += 1;
    return code;
  }

  /** Reads the secret at the first key. Creating it syncs a file, once in the life of the data directory. */
  private hasSecret(): boolean {
    if (this.secret !== null) return true;
    try {
      this.secret = openSecret(this.ops, this.dataDir);
      return true;
    } catch (error) {
      // Each request with a key tries again; the first failure is enough for the log.
      if (!this.hasReported) this.secretFailed((error as Error).message);
      this.hasReported = true;
      return false;
    }
  }

  private setHash(source: number, client: Uint8Array, key: Buffer): void {
    const length = 1 + LENGTH_BYTES + client.length + key.length;
    if (length > this.scratch.length) this.scratch = Buffer.alloc(2 * length);
    const { scratch, half, hash } = this;
    scratch[0] = source;
    scratch.writeUInt32LE(client.length, 1);
    scratch.set(client, 1 + LENGTH_BYTES);
    scratch.set(key, 1 + LENGTH_BYTES + client.length);
    const secret = this.secret!;
    for (let word = 0; word < HASH_WORDS; word += 2) {
      halfSipHash(secret[word]!, secret[word + 1]!, scratch, length, half);
      hash.set(half, word);
    }
  }

  /** Stamps the line that ends at `end` with the last claim; returns the new end. */
  stamp(bytes: Uint8Array, end: number): number {
    return writeStamp(bytes, end, this.hash, this.crc, this.atMs);
  }

  /** Ends a claim. If nothing was stored, the key is free again. */
  settle(entry: number, isStored: boolean): void {
    this.table.settle(entry, isStored);
    this.counters[WORKER.idempotency_in_flight_now]! -= 1;
    if (isStored) this.counters[WORKER.idempotency_stored]! += 1;
  }
}
