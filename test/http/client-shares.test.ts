import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClientShares } from '../../src/http/client-shares.ts';
import { Exchange } from '../../src/http/exchange.ts';

function bodyOf(client: string): Exchange {
  const exchange = new Exchange({ aborted: () => {}, received: () => {}, released: () => {} });
  exchange.clientKey = Buffer.from(client);
  return exchange;
}

describe('client shares', () => {
  it('let the newest body of the client that holds most yield', () => {
    const shares = new ClientShares();
    const [first, second, third] = [bodyOf('a'), bodyOf('a'), bodyOf('b')];
    shares.add(first, 100);
    shares.add(second, 10);
    shares.add(third, 50);
    assert.equal(shares.victimFor(bodyOf('c'), 20), second);
    shares.remove(second, 10);
    shares.remove(first, 100);
    assert.equal(shares.victimFor(bodyOf('c'), 20), third);
  });

  it('let nobody yield to a client that would hold as much', () => {
    const shares = new ClientShares();
    const own = bodyOf('a');
    shares.add(own, 30);
    shares.add(bodyOf('b'), 50);
    assert.equal(shares.victimFor(own, 20), null);
    shares.grow(own, 20);
    assert.equal(shares.victimFor(bodyOf('b'), 10), null);
    assert.notEqual(shares.victimFor(bodyOf('c'), 10), null);
  });

  it('let no client displace its own bodies', () => {
    const shares = new ClientShares();
    shares.add(bodyOf('a'), 1_000);
    assert.equal(shares.victimFor(bodyOf('a'), 10), null);
  });
});
