import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Exchange } from '../../src/http/exchange.ts';
import type { Inflated } from '../../src/http/inflate.ts';
import { Inflater } from '../../src/http/inflater.ts';

const MAX_BYTES = 1 << 20;

/** Pushes bodies named `client + number` and records the order in which they leave. */
class Rig {
  readonly log: string[] = [];
  readonly inflater: Inflater;
  private readonly names = new Map<Exchange, string>();
  private readonly bodies = new Map<Exchange, Uint8Array>();
  private wake = (): void => {};

  constructor(capacity: number) {
    this.inflater = new Inflater(MAX_BYTES, capacity, {
      compressed: (exchange) => this.bodies.get(exchange)!,
      inflated: (exchange, result) => this.left(exchange, result),
      dropped: (exchange) => this.left(exchange, 'dropped'),
    });
  }

  private left(exchange: Exchange, result: Inflated | 'dropped'): void {
    const suffix = typeof result === 'string' ? ` ${result}` : '';
    this.log.push(`${this.names.get(exchange)}${suffix}`);
    this.wake();
  }

  body(name: string, bytes: Uint8Array = gzipSync(name), receivedMs = 0): Exchange {
    const exchange = new Exchange({ aborted: () => {}, received: () => {}, released: () => {} });
    exchange.clientKey = Buffer.from(name.slice(0, 1));
    this.bodies.set(exchange, bytes);
    exchange.receivedMs = receivedMs;
    this.names.set(exchange, name);
    return exchange;
  }

  push(name: string, bytes?: Uint8Array, receivedMs?: number): Exchange {
    const exchange = this.body(name, bytes, receivedMs);
    this.inflater.push(exchange);
    return exchange;
  }

  async logged(entries: number): Promise<string[]> {
    while (this.log.length < entries) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return this.log;
  }
}

const large = gzipSync(Buffer.alloc(MAX_BYTES));

describe('the inflater', () => {
  it('alternates between clients with equal bodies, each in its own order', async () => {
    const rig = new Rig(10);
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2']) rig.push(name);
    assert.deepEqual(await rig.logged(5), ['a1', 'b1', 'a2', 'b2', 'a3']);
    assert.equal(rig.inflater.pending, 0);
  });

  it('serves many small bodies of one client for a large one of another', async () => {
    const rig = new Rig(20);
    for (const name of ['a1', 'a2', 'a3']) rig.push(name, large);
    for (const name of ['b1', 'b2', 'b3', 'b4', 'b5']) rig.push(name);
    assert.deepEqual(await rig.logged(8), ['a1', 'b1', 'b2', 'b3', 'b4', 'b5', 'a2', 'a3']);
  });

  it('counts a broken or too large body as one of the largest', async () => {
    const rig = new Rig(20);
    for (const name of ['a1', 'a2']) rig.push(name, gzipSync(Buffer.alloc(MAX_BYTES + 1)));
    for (const name of ['b1', 'b2']) rig.push(name, large.subarray(0, large.length - 1));
    for (const name of ['c1', 'c2', 'c3']) rig.push(name);
    assert.deepEqual(await rig.logged(7), [
      'a1 too_large',
      'b1 broken',
      'c1',
      'c2',
      'c3',
      'a2 too_large',
      'b2 broken',
    ]);
  });

  it('counts a large body that holds next to nothing by its own length', async () => {
    const rig = new Rig(20);
    const hollow = Buffer.concat(Array<Buffer>(5_000).fill(gzipSync('')));
    for (const name of ['a1', 'a2', 'a3']) rig.push(name, Buffer.concat([hollow, gzipSync('a')]));
    for (const name of ['b1', 'b2', 'b3', 'b4', 'b5']) rig.push(name);
    assert.deepEqual(await rig.logged(8), ['a1', 'b1', 'b2', 'b3', 'b4', 'b5', 'a2', 'a3']);
  });

  it('gives a client that comes back no credit for the time it was away', async () => {
    const rig = new Rig(20);
    rig.push('a1', large);
    for (let n = 2; n <= 6; n++) rig.push(`a${n}`, large);
    rig.push('b1');
    await rig.logged(4);
    for (const name of ['b2', 'b3']) rig.push(name, large);
    const order = await rig.logged(9);
    // After b1, b was away while a was served: the two then take turns.
    assert.deepEqual(order.slice(0, 2), ['a1', 'b1']);
    const [second, third] = [order.indexOf('b2'), order.indexOf('b3')];
    assert.ok(third - second >= 2, order.join(' '));
  });

  it('drops the newest body of the longest queue when it is full', async () => {
    const rig = new Rig(3);
    for (const name of ['a1', 'a2', 'a3', 'a4']) rig.push(name);
    assert.equal(rig.inflater.hasRoomFor(rig.body('a5')), false);
    assert.equal(rig.inflater.hasRoomFor(rig.body('b1')), true);
    rig.push('b1');
    assert.deepEqual(rig.log, ['a4 dropped']);
    assert.equal(rig.inflater.hasRoomFor(rig.body('b2')), false);
    assert.deepEqual(await rig.logged(5), ['a4 dropped', 'a1', 'b1', 'a2', 'a3']);
  });

  it('drops bodies that have waited since before a time', () => {
    const rig = new Rig(10);
    for (const [name, ms] of [
      ['a0', 1],
      ['a1', 5],
      ['a2', 9],
      ['b1', 4],
    ] as const) {
      rig.push(name, undefined, ms);
    }
    rig.inflater.expire(6);
    assert.deepEqual(rig.log.toSorted(), ['a1 dropped', 'b1 dropped']);
    // The body that is being decompressed goes on.
    assert.equal(rig.inflater.pending, 2);
  });

  it('forgets a body that is removed, and only that', async () => {
    const rig = new Rig(10);
    rig.push('a1');
    const second = rig.push('a2');
    rig.push('a3');
    rig.inflater.remove(second);
    rig.inflater.remove(second);
    assert.deepEqual(await rig.logged(2), ['a1', 'a3']);
    assert.equal(rig.inflater.pending, 0);
  });

  it('gives back all bodies, also the one being decompressed, each once', async () => {
    const rig = new Rig(10);
    const pushed = ['a1', 'a2', 'b1'].map((name) => rig.push(name, large));
    assert.deepEqual(new Set(rig.inflater.removeAll()), new Set(pushed));
    assert.deepEqual(rig.inflater.removeAll(), []);
    rig.push('a3');
    assert.deepEqual(await rig.logged(1), ['a3']);
    assert.equal(rig.inflater.pending, 0);
  });
});
