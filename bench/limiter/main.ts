/**
 * The rate limiters: keyed hash, lookup and token bucket, against a Map of buckets in one thread.
 *
 * Targets for hash, lookup and charge at 10,000 clients: 80 ns with locks, 40 ns without.
 */
import assert from 'node:assert/strict';
import { xorshift32 } from '../../load-test/generator/sample-metrics.ts';
import { ClientKey } from '../../src/base/client-key.ts';
import { halfSipHash } from '../../src/base/siphash.ts';
import { ADMITTED, LIMITED, type Limiter, type LimiterModule } from '../../src/limiter/limiter.ts';
import * as lockFree from '../../src/limiter/lock-free.ts';
import * as stripedLock from '../../src/limiter/striped-lock.ts';
import { compare } from '../harness/compare.ts';
import { digestOf } from '../workloads.ts';

const CALLS = 8192;
/** Calls after which the order of clients repeats. */
const ORDER = 1 << 16;
const CLIENTS = 10_000;
/** Bytes between two keys in `keys`. */
const KEY_STRIDE = 16;
const NEVER_REFUSING = {
  requestRate: 20_000,
  requestBurst: 20_000,
  metricRate: 0,
  metricBurst: 0,
  clients: 65_536,
};
/** Time advances by this much per call: 10,000 charges a second, the default limit. */
const STEP_MS = 0.1;
const SEED = 20_261;

const addressOf = (client: number): number[] => [
  10 + (client % 190),
  (client * 7) & 255,
  (client >> 5) & 255,
  client & 255,
];

/** The key of each call, fetched in advance to keep that out of the figure. */
function keysOf(clients: number, text: boolean): { keys: Int32Array; lengths: Uint8Array } {
  const bytes = new Uint8Array(ORDER * KEY_STRIDE);
  const lengths = new Uint8Array(ORDER);
  order.forEach((drawn, call) => {
    const address = addressOf(drawn % clients);
    const key = text ? Buffer.from(address.join('.')) : Buffer.from(address);
    bytes.set(key, call * KEY_STRIDE);
    lengths[call] = key.length;
  });
  return { keys: new Int32Array(bytes.buffer), lengths };
}

/** Clients in random order, the same in every run. */
const random = xorshift32(SEED);
const order = Int32Array.from({ length: ORDER }, () => (random() * 2 ** 32) % CLIENTS);

function verifyBuckets({ openLimiter, createLimiterMemory }: LimiterModule): void {
  const config = { ...NEVER_REFUSING, requestRate: 1, requestBurst: 2 };
  const limiter = openLimiter(createLimiterMemory(config), config);
  const key = Uint8Array.of(10, 0, 0, 1);
  const verdicts = [0, 0, 0, 1000, 1000].map((nowMs) => limiter.chargeRequest(key, 4, nowMs));
  assert.deepEqual(verdicts, [ADMITTED, ADMITTED, LIMITED, ADMITTED, LIMITED]);
}

/** Calls `chargeRequest` for `clients` clients in random order, each time as for the first request of a connection. */
function limiterCase(name: string, module: LimiterModule, clients: number, text: boolean) {
  const { keys, lengths } = keysOf(clients, text);
  const key = new Uint8Array(KEY_STRIDE);
  const keyWords = new Int32Array(key.buffer);
  let limiter: Limiter | undefined;
  let nowMs = 0;
  let at = 0;
  const run = (): void => {
    limiter ??= module.openLimiter(module.createLimiterMemory(NEVER_REFUSING), NEVER_REFUSING);
    let admitted = 0;
    for (let call = 0; call < CALLS; call++) {
      keyWords[0] = keys[4 * at]!;
      keyWords[1] = keys[4 * at + 1]!;
      keyWords[2] = keys[4 * at + 2]!;
      keyWords[3] = keys[4 * at + 3]!;
      nowMs += STEP_MS;
      if (limiter.chargeRequest(key, lengths[at]!, nowMs) === ADMITTED) admitted++;
      at = (at + 1) & (ORDER - 1);
    }
    assert.equal(admitted, CALLS);
  };
  return { name, perRun: CALLS, verify: () => verifyBuckets(module), run };
}

/** The same with an object for each client's key. `ClientKey`: as for the later requests, since the limiter has seen it. */
function objectCase(name: string, clients: number, Key: typeof Uint8Array | typeof ClientKey) {
  const limiter = lockFree.openLimiter(lockFree.createLimiterMemory(NEVER_REFUSING));
  const known = Array.from(
    { length: clients },
    (_, client) => new Key(Buffer.from(addressOf(client).join('.'))),
  );
  let nowMs = 0;
  let at = 0;
  const run = (): void => {
    let admitted = 0;
    for (let call = 0; call < CALLS; call++) {
      const key = known[order[at]! % clients]!;
      nowMs += STEP_MS;
      if (limiter.chargeRequest(key, key.length, nowMs) === ADMITTED) admitted++;
      at = (at + 1) & (ORDER - 1);
    }
    assert.equal(admitted, CALLS);
  };
  return { name, perRun: CALLS, verify: () => verifyBuckets(lockFree), run };
}

function hashCase(name: string, bytes: number) {
  const key = new Uint8Array(KEY_STRIDE);
  const out = new Int32Array(2);
  return {
    name,
    perRun: CALLS,
    verify: () => {
      halfSipHash(0x03020100, 0x07060504, Uint8Array.of(0, 1, 2), 3, out);
      assert.equal(Buffer.from(out.buffer).toString('hex'), 'ce0f1a45f7060679');
    },
    run: () => {
      // Each call hashes what the last one left: latency, as in the limiter, and not throughput.
      for (let call = 0; call < CALLS; call++) {
        key[0] = out[0]!;
        halfSipHash(1, 2, key, bytes, out);
      }
    },
  };
}

/** The same in one process without sharing. */
function mapCase(name: string) {
  const names = Array.from({ length: CLIENTS }, (_, client) => `10.${client & 255}.${client >> 8}.1`);
  const buckets = new Map<string, { tokens: number; refilledMs: number }>();
  let nowMs = 0;
  let at = 0;
  const take = (client: string): boolean => {
    let bucket = buckets.get(client);
    if (bucket === undefined) {
      bucket = { tokens: NEVER_REFUSING.requestBurst, refilledMs: nowMs };
      buckets.set(client, bucket);
    }
    bucket.tokens = Math.min(
      bucket.tokens + (nowMs - bucket.refilledMs) * (NEVER_REFUSING.requestRate / 1e3),
      NEVER_REFUSING.requestBurst,
    );
    bucket.refilledMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  };
  return {
    name,
    perRun: CALLS,
    verify: () => assert.equal(take('verify'), true),
    run: () => {
      for (let call = 0; call < CALLS; call++) {
        nowMs += STEP_MS;
        if (!take(names[order[at]!]!)) throw new Error('refused');
        at = (at + 1) & (ORDER - 1);
      }
    },
  };
}

const MAP = 'Map of buckets, one thread, 10,000 clients';

await compare({
  title: 'rate limiter',
  unit: 'call',
  baseline: MAP,
  workload: { seed: SEED, digest: digestOf(new Uint8Array(order.buffer)) },
  cases: [
    mapCase(MAP),
    ...[
      { name: 'striped locks', module: stripedLock },
      { name: 'lock-free', module: lockFree },
    ].flatMap(({ name, module }) => [
      limiterCase(`${name}, 1 client, 4-byte address`, module, 1, false),
      limiterCase(`${name}, 10,000 clients, 4-byte address`, module, CLIENTS, false),
      limiterCase(`${name}, 1 client, 9- to 15-byte text`, module, 1, true),
      limiterCase(`${name}, 10,000 clients, 9- to 15-byte text`, module, CLIENTS, true),
    ]),
    ...[1, CLIENTS].flatMap((clients) => {
      const name = `lock-free, ${clients.toLocaleString('en')} text objects`;
      return [
        objectCase(`${name}, first request`, clients, Uint8Array),
        objectCase(`${name}, later requests`, clients, ClientKey),
      ];
    }),
    hashCase('HalfSipHash-2-4 alone, 4 bytes', 4),
    hashCase('HalfSipHash-2-4 alone, 12 bytes', 12),
  ],
});
