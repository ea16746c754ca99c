import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { IpRanges, parseIpAddress } from '../../src/base/ip-address.ts';

function ranges(list: string): IpRanges {
  const parsed = IpRanges.parse(list);
  assert.ok(parsed instanceof IpRanges, list);
  return parsed;
}

const has = (list: string, address: string): boolean => ranges(list).has(parseIpAddress(address)!);

describe('IP addresses', () => {
  const cases: readonly (readonly [string, readonly number[] | null])[] = [
    ['192.0.2.1', [192, 0, 2, 1]],
    ['255.255.255.255', [255, 255, 255, 255]],
    ['::', Array(16).fill(0)],
    ['::1', [...Array(15).fill(0), 1]],
    ['2001:DB8::a', [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 0xa]],
    ['1:2:3:4:5:6:7:8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
    ['64:ff9b::192.0.2.1', [0, 0x64, 0xff, 0x9b, ...Array(8).fill(0), 192, 0, 2, 1]],
    ['::ffff:192.0.2.1', [192, 0, 2, 1]],
    ['::ffff:c000:201', [192, 0, 2, 1]],
    ['256.0.0.1', null],
    ['192.0.2', null],
    ['192.0.2.01', null],
    ['192.0.2.1.', null],
    ['1::2::3', null],
    ['1:2:3:4:5:6:7', null],
    ['1:2:3:4:5:6:7:8:9', null],
    ['1:2:3:4:5:6:7::8', null],
    ['1:2:3:4:5:6::8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 0, 0, 8]],
    ['192.0.2.1::', null],
    ['fe80::1%eth0', null],
    [':1', null],
    ['12345::', null],
    ['', null],
    ['unknown', null],
  ];
  for (const [text, expected] of cases) {
    it(`${JSON.stringify(text)} gives ${expected === null ? 'nothing' : `${expected.length} bytes`}`, () => {
      const bytes = parseIpAddress(text);
      assert.deepEqual(bytes && [...bytes], expected);
    });
  }

  it('are parsed as Node.js parses them', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ unit: fc.constantFrom(...'0123456789abf:.') })),
        (text) => {
          assert.equal(parseIpAddress(text) !== null, isIP(text) !== 0, text);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('IP ranges', () => {
  it('hold addresses and ranges of both versions', () => {
    const list = '127.0.0.1, 10.0.0.0/8,2001:db8::/32,::1';
    for (const address of ['127.0.0.1', '10.255.0.1', '2001:db8:ffff::1', '::1', '::ffff:10.1.2.3'])
      assert.equal(has(list, address), true, address);
    for (const address of ['127.0.0.2', '11.0.0.0', '2001:db9::', '::2', '::10.1.2.3'])
      assert.equal(has(list, address), false, address);
  });

  it('count the prefix of a mapped address from its longer form', () => {
    assert.equal(has('::ffff:10.0.0.0/104', '10.9.9.9'), true);
    assert.equal(has('::ffff:10.0.0.0/104', '11.0.0.0'), false);
  });

  for (const [list, invalid] of [
    ['', ''],
    ['127.0.0.1,', ''],
    ['10.0.0.0/33', '10.0.0.0/33'],
    ['::/129', '::/129'],
    ['::ffff:10.0.0.0/8', '::ffff:10.0.0.0/8'],
    ['10.0.0.0/8/8', '10.0.0.0/8/8'],
    ['10.0.0.0/x', '10.0.0.0/x'],
    ['proxy.example', 'proxy.example'],
  ] as const) {
    it(`refuse ${JSON.stringify(list)} by the wrong member`, () => {
      assert.deepEqual(IpRanges.parse(list), { invalid });
    });
  }

  it('hold what BlockList of Node.js holds', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), fc.ipV4(), (network, prefix, address) => {
        const list = new BlockList();
        list.addSubnet(network, prefix);
        assert.equal(has(`${network}/${prefix}`, address), list.check(address));
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 128 }), fc.integer({ min: 0, max: 127 }), (prefix, bit) => {
        const bytes = new Uint8Array(16);
        bytes[bit >> 3] = 128 >> (bit & 7);
        // All zeros but for one bit: outside the range exactly when the prefix covers that bit.
        assert.equal(ranges(`::/${prefix}`).has(bytes), bit >= prefix);
      }),
    );
  });
});
