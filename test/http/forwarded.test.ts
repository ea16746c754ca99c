/** Client identity behind proxies: chains, ports, IPv6, malformed and spoofed headers, both headers at once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IpRanges, parseIpAddress } from '../../src/base/ip-address.ts';
import { clientAddress } from '../../src/http/forwarded.ts';

const PROXY = '10.0.0.1';
const trusted = IpRanges.parse('10.0.0.0/8, 2001:db8:1::/48');
assert.ok(trusted instanceof IpRanges);

function client(remote: string, forwarded: string, xForwardedFor: string): Uint8Array {
  return clientAddress(trusted as IpRanges, parseIpAddress(remote)!, forwarded, xForwardedFor);
}

interface Case {
  readonly what: string;
  readonly remote?: string;
  readonly forwarded?: string;
  readonly xForwardedFor?: string;
  readonly expected: string;
}

const CASES: readonly Case[] = [
  { what: 'no header: the proxy itself', expected: PROXY },
  { what: 'one address', xForwardedFor: '192.0.2.1', expected: '192.0.2.1' },
  {
    what: 'a chain of trusted proxies',
    xForwardedFor: '192.0.2.1, 10.0.0.3, 10.0.0.2',
    expected: '192.0.2.1',
  },
  { what: 'what the client invented', xForwardedFor: '8.8.8.8, 192.0.2.1', expected: '192.0.2.1' },
  {
    what: 'a trusted address that the client invented',
    xForwardedFor: '10.9.9.9, 192.0.2.1',
    expected: '192.0.2.1',
  },
  {
    what: 'only trusted addresses: the left-most',
    xForwardedFor: '10.0.0.9, 10.0.0.2',
    expected: '10.0.0.9',
  },
  {
    what: 'a peer that is no trusted proxy',
    remote: '192.0.2.9',
    xForwardedFor: '1.1.1.1',
    expected: '192.0.2.9',
  },
  {
    what: 'an untrusted peer with Forwarded',
    remote: '192.0.2.9',
    forwarded: 'for=1.1.1.1',
    expected: '192.0.2.9',
  },
  { what: 'a port', xForwardedFor: '192.0.2.1:55555', expected: '192.0.2.1' },
  { what: 'IPv6', xForwardedFor: '2001:db8::7', expected: '2001:db8::7' },
  { what: 'IPv6 in brackets', xForwardedFor: '[2001:db8::7]', expected: '2001:db8::7' },
  { what: 'IPv6 with a port', xForwardedFor: '[2001:db8::7]:443', expected: '2001:db8::7' },
  { what: 'IPv4 mapped into IPv6', xForwardedFor: '::ffff:192.0.2.1', expected: '192.0.2.1' },
  { what: 'an IPv6 proxy', remote: '2001:db8:1::1', xForwardedFor: '2001:db8::7', expected: '2001:db8::7' },
  { what: 'a mapped proxy', remote: '::ffff:10.0.0.1', xForwardedFor: '192.0.2.1', expected: '192.0.2.1' },
  { what: 'a word', xForwardedFor: 'unknown', expected: PROXY },
  { what: 'a word left of the client', xForwardedFor: 'unknown, 192.0.2.1', expected: '192.0.2.1' },
  { what: 'a word behind a second proxy: that proxy', xForwardedFor: 'junk, 10.0.0.2', expected: '10.0.0.2' },
  { what: 'an empty member', xForwardedFor: '192.0.2.1, ', expected: PROXY },
  { what: 'a number too large', xForwardedFor: '192.0.2.256', expected: PROXY },
  { what: 'an IPv4 address in brackets', xForwardedFor: '[192.0.2.1]', expected: PROXY },
  { what: 'a port of six digits', xForwardedFor: '192.0.2.1:123456', expected: PROXY },
  { what: 'Forwarded', forwarded: 'for=192.0.2.1', expected: '192.0.2.1' },
  {
    what: 'Forwarded with parameters',
    forwarded: 'proto=https;For="192.0.2.1:80";by=10.0.0.1',
    expected: '192.0.2.1',
  },
  { what: 'Forwarded with IPv6', forwarded: 'for="[2001:db8::7]:4711"', expected: '2001:db8::7' },
  {
    what: 'Forwarded with a chain',
    forwarded: 'for=8.8.8.8, for=192.0.2.1,for=10.0.0.2',
    expected: '192.0.2.1',
  },
  { what: 'Forwarded with an escape', forwarded: 'for="192.0.\\2.1"', expected: '192.0.2.1' },
  { what: 'an obfuscated identifier', forwarded: 'for=_hidden', expected: PROXY },
  { what: 'an unknown client', forwarded: 'for=unknown, for=10.0.0.2', expected: '10.0.0.2' },
  { what: 'Forwarded without for', forwarded: 'proto=https', expected: PROXY },
  { what: 'for twice in one element', forwarded: 'for=192.0.2.1;for=192.0.2.2', expected: PROXY },
  { what: 'an open quote', forwarded: 'for="8.8.8.8, for=192.0.2.1', expected: PROXY },
  {
    what: 'quotes that swallow a member',
    forwarded: 'for=8.8.8.8, for=", for="[2001:db8::7]"',
    expected: PROXY,
  },
  { what: 'IPv6 without quotes', forwarded: 'for=[2001:db8::7]', expected: PROXY },
  { what: 'no grammar at all', forwarded: ';;;', expected: PROXY },
  {
    what: 'both headers that agree',
    forwarded: 'for=192.0.2.1',
    xForwardedFor: '8.8.8.8, 192.0.2.1',
    expected: '192.0.2.1',
  },
  {
    what: 'a Forwarded that the client invented',
    forwarded: 'for=8.8.8.8',
    xForwardedFor: '192.0.2.1',
    expected: PROXY,
  },
  {
    what: 'an X-Forwarded-For that the client invented',
    forwarded: 'for=192.0.2.1',
    xForwardedFor: '8.8.8.8',
    expected: PROXY,
  },
];

describe('the client behind proxies', () => {
  for (const { what, remote = PROXY, forwarded = '', xForwardedFor = '', expected } of CASES) {
    it(`with ${what} is ${expected}`, () => {
      assert.deepEqual([...client(remote, forwarded, xForwardedFor)], [...parseIpAddress(expected)!]);
    });
  }

  it('is found at once in the longest list that fits the headers', () => {
    const list = Array(700).fill('10.1.1.1').join(',');
    assert.deepEqual([...client(PROXY, '', `192.0.2.1,${list}`)], [192, 0, 2, 1]);
    const quoted = Array(300).fill('for="10.1.1.1";proto=http').join(',');
    assert.deepEqual([...client(PROXY, `for=192.0.2.1,${quoted}`, '')], [192, 0, 2, 1]);
  });

  it('cannot invent identities through broken headers', () => {
    const identities = new Set<string>();
    for (let k = 0; k < 500; k++) {
      const broken = ['for="', '"', ',', ';', `_${k}`, `for=${k}.${k}`, ' ', '\\"'];
      const value = Array.from({ length: 6 }, (_, i) => broken[(k * 7 + i * 3) % broken.length]).join('');
      identities.add(client(PROXY, `${value}, for=192.0.2.1`, '').join('.'));
    }
    for (const identity of identities) assert.ok(['10.0.0.1', '192.0.2.1'].includes(identity), identity);
  });
});
