/** Headers and parts of messages: what is written is read back, and everything else is refused with its reason. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { lineCount, PART_BYTES, partsOf } from '../../src/export/parts.ts';
import { type CommitMessage, decodeMessage, encodeHeaders } from '../../src/nats/message.ts';
import { messagesOf } from '../../src/nats/range-messages.ts';

const LOG = '0b0e7c9e-6f5a-4c1e-9b1a-3f2d1c0b9a88';

function messageOf(commits: readonly string[], more: Partial<CommitMessage> = {}): CommitMessage {
  const body = Buffer.from(commits.join(''));
  return {
    ...{ log: LOG, first: 7, last: 6 + commits.length, part: 0, parts: 0, lines: lineCount(body) },
    commitBytes: commits.map((lines) => Buffer.byteLength(lines)),
    ...{ firstLine: 0, damage: '', sealCrc32: 0x89abcdef },
    ...{ readAtMs: 1_700_000_000_000, exporter: 'e', mayRepeat: false, body },
    ...more,
  };
}

describe('a message', () => {
  it('is read back as it was written', () => {
    const commits = fc.array(
      fc.string({ minLength: 1, unit: 'grapheme' }).map((text) => `${text}\n`),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(commits, fc.boolean(), (lines, mayRepeat) => {
        const message = messageOf(lines, { mayRepeat });
        assert.deepEqual(decodeMessage(encodeHeaders(message), message.body), message);
      }),
    );
  });

  it('with one flipped bit is refused', () => {
    const message = messageOf(['{"a":1}\n', '{"a":2}\n']);
    const body = Buffer.from(message.body);
    body[3]! ^= 1;
    assert.match(String(decodeMessage(encodeHeaders(message), body)), /^its CRC is/);
  });

  for (const [header, value, reason] of [
    ['Ms-Format', '2', /its format is 2, this version reads 1/],
    ['Ms-Log', 'x', /Ms-Log/],
    ['Ms-First', '0', /Ms-First/],
    ['Ms-Last', '6', /Ms-Last/],
    ['Ms-Part', '3/2', /Ms-Part/],
    ['Ms-Part', '1/2', /Ms-Part/],
    ['Ms-Lines', 'many', /Ms-Lines/],
    ['Ms-Lines', '1', /its body has 2 lines, the Ms-Lines header says 1/],
    ['Ms-Lines', '999999999999999', /its body has 2 lines/],
    ['Ms-Commit-Bytes', '1,2', /Ms-Commit-Bytes/],
    ['Ms-Commit-Bytes', '-8,24', /Ms-Commit-Bytes/],
    ['Ms-Commit-Bytes', '7,9', /Ms-Commit-Bytes/],
  ] as const) {
    it(`with ${header}: ${value} is refused`, () => {
      const message = messageOf(['{"a":1}\n', '{"a":2}\n']);
      const headers = encodeHeaders(message);
      headers.set(header, value);
      assert.match(String(decodeMessage(headers, message.body)), reason);
    });
  }

  it('with an unfinished line is refused', () => {
    const message = messageOf(['{"a":1}\n', '{"a":2}']);
    assert.match(String(decodeMessage(encodeHeaders(message), message.body)), /Ms-Commit-Bytes/);
  });

  it('need not tell the seal: exporters of an older version do not', () => {
    const message = messageOf(['{"a":1}\n'], { sealCrc32: null });
    assert.deepEqual(decodeMessage(encodeHeaders(message), message.body), message);
  });

  it('without headers is refused', () => {
    assert.equal(decodeMessage(undefined, Buffer.from('x')), 'it has no headers');
  });
});

describe('the messages of a range', () => {
  it('come in the order of commits, also where damage follows damage', () => {
    const lines = Buffer.from('{}\n');
    const place = { segment: 1, offset: 0, bytes: lines.length };
    const commits = [1, 2, 7, 8].map(
      (commit) => ({ kind: 'commit', commit, crc32: commit, ...place, lineCount: 1, lines }) as const,
    );
    const damaged = [
      [3, 3],
      [4, 6],
      [9, 9],
    ].map(
      ([first, last]) => ({ kind: 'damaged', ...place, reason: 'r', first: first!, last: last! }) as const,
    );
    const range = { after: 0, last: 9, end: place, commits, damaged, lineCount: 4, bytes: 12 };
    const messages = messagesOf(range, { log: LOG, exporter: 'e', readAtMs: 0, bodyMaxBytes: PART_BYTES });
    assert.deepEqual(
      messages.map(({ first, last, damage, sealCrc32 }) => [first, last, damage, sealCrc32]),
      [
        [1, 2, '', 2],
        [3, 3, 'r', null],
        [4, 6, 'r', null],
        [7, 8, '', 8],
        [9, 9, 'r', null],
      ],
    );
  });
});

describe('the parts of a commit', () => {
  it('are whole lines, in order, and at most as large as a message unless one line is larger', () => {
    const size = fc.integer({ min: 1, max: PART_BYTES + 1_000 });
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 12 }), (sizes) => {
        const commit = Buffer.concat(sizes.map((bytes) => Buffer.alloc(bytes, 'x').fill('\n', bytes - 1)));
        const parts = partsOf(commit);
        assert.ok(Buffer.concat(parts).equals(commit));
        for (const part of parts) {
          assert.equal(part.at(-1), '\n'.charCodeAt(0));
          assert.ok(part.length <= PART_BYTES || lineCount(part) === 1, `${part.length}`);
        }
      }),
      { numRuns: 50 },
    );
  });
});
