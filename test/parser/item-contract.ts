/** Part of the contract suite of the parser slot: the rules of one item, its fields and its tags. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type CreateParser,
  ERRORS_MAX,
  FORMAT_JSON,
  FORMAT_NDJSON,
  PARSED,
} from '../../src/parser/parser.ts';
import { judge, metricsOf, parseBody } from './judge.ts';

const MAX_BODY_BYTES = 1 << 20;
const MAX_BATCH = 1000;

/** A body of one item with these members. */
const item = (members: string): string => `{"metrics":[{${members}}]}`;
const named = (name: string): string => item(`"name":${name},"value":1`);
const valued = (value: string): string => item(`"name":"a","value":${value}`);
const tagged = (tags: string): string => item(`"name":"a","value":1,"tags":${tags}`);
const stamped = (timestamp: string): string => item(`"name":"a","value":1,"timestamp":${timestamp}`);

export function itemContract(name: string, createParser: CreateParser): void {
  const parser = createParser({ maxBodyBytes: MAX_BODY_BYTES, maxBatch: MAX_BATCH });
  const accepts = (body: string): void => {
    assert.equal(parseBody(parser, body), PARSED, body);
    assert.equal(parser.rejected, 0, `${body}: ${parser.errors()[0]?.reason}`);
  };
  const rejectsItem = (body: string, offset: number, field: string, reason: string): void => {
    assert.equal(parseBody(parser, body), PARSED, body);
    assert.deepEqual(parser.errors(), [{ index: 0, offset, field, reason }], body);
    assert.equal(parser.accepted, 0);
    assert.equal(parser.rejected, 1);
  };

  describe(`${name}: items`, () => {
    it('fills in defaults for absent fields', () => {
      accepts(
        '{"metrics":[{"name":"a","value":-1.5},' +
          '{"tags":{"k":"v"},"timestamp":1700000000000,"type":"histogram","value":2,"name":"b\\u0063"}]}',
      );
      assert.deepEqual(metricsOf(parser), [
        { name: 'a', value: -1.5, type: 'gauge', timestamp: null, tags: [] },
        { name: 'bc', value: 2, type: 'histogram', timestamp: 1_700_000_000_000, tags: [['k', 'v']] },
      ]);
    });

    it('accepts names of 1 to 255 bytes after unescaping, in any script', () => {
      for (const text of [
        'a',
        'x'.repeat(255),
        'ü'.repeat(127),
        `${'日'.repeat(85)}`,
        '😀',
        'a/b "c" \\d',
        '\u00a0',
      ]) {
        accepts(named(JSON.stringify(text)));
        assert.equal(metricsOf(parser)[0]?.name, text);
      }
      accepts(named(`"${'\\u0061'.repeat(255)}"`));
      accepts(named(`"${'\\ud83d\\ude00'.repeat(63)}abc"`));
    });

    it('rejects names that are empty, too long or have control characters', () => {
      rejectsItem(named('""'), 20, 'name', 'must not be empty');
      for (const text of ['x'.repeat(256), 'ü'.repeat(128), '😀'.repeat(64)]) {
        rejectsItem(named(JSON.stringify(text)), 20, 'name', 'must be at most 255 bytes');
      }
      rejectsItem(named(`"${'\\u00fc'.repeat(128)}"`), 20, 'name', 'must be at most 255 bytes');
      for (const text of [
        '"a\\n"',
        '"\\u0000"',
        '"\\u001f"',
        '"abc\x7f"',
        '"\\u007F"',
        '"\x80"',
        '"a\x9fb"',
        '"\\u0085"',
      ]) {
        rejectsItem(named(text), 20, 'name', 'must not contain control characters');
      }
    });

    it('rejects fields of the wrong type, including null, at the offset of the value', () => {
      const wrong = ['null', 'true', '[]', '{}', '{"a":[1,{"b":2}]}'];
      for (const value of [...wrong, '1']) rejectsItem(named(value), 20, 'name', 'must be a string');
      for (const value of [...wrong, '"1"'])
        rejectsItem(valued(value), 32, 'value', 'must be a finite number');
      for (const value of [...wrong, '1', '"Gauge"', '"gauges"', '"gaug"', '""', '"summar\\u0079s"']) {
        const body = item(`"name":"a","value":1,"type":${value}`);
        rejectsItem(body, 41, 'type', 'must be counter, gauge, histogram or summary');
      }
      for (const value of ['null', 'true', '[]', '1', '"a"'])
        rejectsItem(tagged(value), 41, 'tags', 'must be an object');
      for (const value of ['1', 'null', '[1]', '"{}"', 'true']) {
        rejectsItem(`{"metrics":[${value}]}`, 12, '', 'must be an object');
      }
    });

    it('rejects numbers outside the range of doubles, and only those', () => {
      for (const value of ['1e400', '-1e309', '1.8e308', `1${'0'.repeat(400)}`]) {
        rejectsItem(valued(value), 32, 'value', 'must be a finite number');
      }
      for (const value of ['1.7976931348623157e308', '1e-400', '-0', '5e-324', '0e999999999999'])
        accepts(valued(value));
    });

    it('accepts as a timestamp any integer within the range of dates, in any notation', () => {
      const cases: [string, number][] = [
        ['1700000000000', 1.7e12],
        ['0', 0],
        ['-0', 0],
        ['-1', -1],
        ['1.5e3', 1500],
        ['17000000000000E-1', 1.7e12],
        ['1700000000000.000', 1.7e12],
        ['8640000000000000', 8.64e15],
        ['-8.64e15', -8.64e15],
      ];
      for (const [text, expected] of cases) {
        for (const body of [stamped(text), stamped(`${text} `)]) {
          accepts(body);
          assert.ok(Object.is(metricsOf(parser)[0]?.timestamp, expected), text);
        }
      }
      const reason = 'must be an integer of Unix milliseconds between -8.64e15 and 8.64e15';
      for (const text of [
        '1.5',
        '1e-1',
        '8640000000000001',
        '-8640000000000001',
        '1e400',
        '"1"',
        'null',
        '{}',
      ]) {
        rejectsItem(stamped(text), 46, 'timestamp', reason);
      }
    });

    it('rejects items without a name or a value at their opening brace', () => {
      rejectsItem('{"metrics":[{}]}', 12, 'name', 'is required');
      rejectsItem('{"metrics":[ {"value":1}]}', 13, 'name', 'is required');
      rejectsItem('{"metrics":[{"name":"a"}]}', 12, 'value', 'is required');
    });

    it('rejects a field given twice in any spelling, and ignores duplicates of other members', () => {
      rejectsItem(item('"name":"a","value":1,"name":"b"'), 34, 'name', 'given twice');
      rejectsItem(item('"name":"a","value":1,"na\\u006de":"b"'), 34, 'name', 'given twice');
      rejectsItem(item('"\\u0076alue":1,"name":"b","value":"x"'), 39, 'value', 'given twice');
      rejectsItem(item('"tags":{},"name":"b","value":1,"tags":{}'), 44, 'tags', 'given twice');
      rejectsItem(item('"type":"gauge","name":"b","value":1,"type":"gauge"'), 49, 'type', 'given twice');
      rejectsItem(item('"timestamp":1,"name":"b","value":1,"timestamp":1'), 48, 'timestamp', 'given twice');
      accepts(item('"name":"a","value":1,"x":1,"x":2,"names":1,"names":2'));
    });

    it('rejects tags that are not strings, are given twice, or number more than 64', () => {
      rejectsItem(tagged('{"a":"b","c":1}'), 54, 'tags.c', 'must be a string');
      rejectsItem(tagged('{"a":null}'), 46, 'tags.a', 'must be a string');
      rejectsItem(tagged('{"a":"b","c":"d","a":"e"}'), 58, 'tags.a', 'given twice');
      rejectsItem(tagged('{"h\\u006fst":"b","host":"d"}'), 58, 'tags.host', 'given twice');
      rejectsItem(tagged('{"":"b","":"d"}'), 49, 'tags.', 'given twice');
      rejectsItem(tagged('{"\\ud83d\\ude00":"b","😀":"d"}'), 61, 'tags.😀', 'given twice');
      const members = (count: number): string =>
        Array.from({ length: count }, (_, at) => `"k${at}":"v"`).join(',');
      accepts(tagged(`{${members(64)}}`));
      rejectsItem(
        tagged(`{${members(65)}}`),
        42 + members(64).length + 1,
        'tags',
        'must have at most 64 members',
      );
      rejectsItem(
        tagged(`{${members(200)}}`),
        42 + members(64).length + 1,
        'tags',
        'must have at most 64 members',
      );
    });

    it('distinguishes long similar tag keys and detects two equal ones', () => {
      const keys = Array.from(
        { length: 64 },
        (_, at) => `same-start-${'x'.repeat(500)}${at + 100}${'y'.repeat(20)}`,
      );
      accepts(tagged(JSON.stringify(Object.fromEntries(keys.map((key) => [key, 'v'])))));
      keys[63] = keys[1]!;
      const body = tagged(`{${keys.map((key) => `${JSON.stringify(key)}:"v"`).join(',')}}`);
      assert.equal(parseBody(parser, body), PARSED);
      assert.equal(parser.errors()[0]?.reason, 'given twice');
    });

    it('detects tag keys that differ from those of the previous item, or repeat', () => {
      const bodies = [
        ['{"host":"a","zone":"b"}', '{"host":"a","host":"b"}'],
        ['{"host":"a","zone":"b"}', '{"zone":"a","host":"b"}'],
        ['{"host":"a","zone":"b"}', '{"zone":"a","zone":"b"}'],
        ['{"a":"1","b":"2","c":"3"}', '{"a":"1","c":"2","b":"3","c":"4"}'],
        ['{"a":"1","b":"2"}', '{"a":"1"}', '{"a":"1","b":"2","a":"3"}'],
        ['{"a":"1","a":"2"}', '{"a":"1","a":"2"}'],
        ['{"a":"1","b":2}', '{"a":"1","b":"2","b":"3"}'],
        ['{"\\u0061":"1","b":"2"}', '{"\\u0061":"1","a":"2"}'],
        ['{"a" :"1"}', '{"a" :"1","a":"2"}', '{"a":"1","a" :"2"}'],
      ];
      for (const tags of bodies) {
        const items = tags.map((text) => `{"name":"n","value":1,"tags":${text}}`);
        judge(parser, Buffer.from(`{"metrics":[${items.join(',')}]}`), FORMAT_JSON);
        judge(parser, Buffer.from(items.join('\n')), FORMAT_NDJSON);
      }
    });

    it('keeps the first error of an item, lists the first ten and counts all', () => {
      rejectsItem(item('"name":"","value":"x"'), 20, 'name', 'must not be empty');
      const items = Array.from({ length: 30 }, (_, at) => `{"name":"${at % 2 ? '' : 'a'}","value":${at}}`);
      assert.equal(parseBody(parser, `{"metrics":[${items.join(',')}]}`), PARSED);
      assert.equal(parser.seen, 30);
      assert.equal(parser.rejected, 15);
      assert.equal(parser.errors().length, ERRORS_MAX);
      assert.deepEqual(
        parser.errors().map(({ index }) => index),
        [1, 3, 5, 7, 9, 11, 13, 15, 17, 19],
      );
      assert.deepEqual(
        metricsOf(parser).map(({ value }) => value),
        [...Array(15).keys()].map((at) => at * 2),
      );
    });

    it('carries nothing of a rejected item into the next row', () => {
      const rejected = '{"name":"","value":1,"type":"counter","timestamp":1,"tags":{"a":"b"}}';
      assert.equal(parseBody(parser, `{"metrics":[${rejected},{"name":"b","value":2}]}`), PARSED);
      assert.deepEqual(metricsOf(parser), [
        { name: 'b', value: 2, type: 'gauge', timestamp: null, tags: [] },
      ]);
    });

    it('cuts a very long tag key in an error message between two characters', () => {
      assert.equal(parseBody(parser, tagged(`{"${'ü\\n'.repeat(10_000)}":1}`)), PARSED);
      const field = parser.errors()[0]?.field ?? '';
      assert.match(field, /^tags\.(ü\n)+ü?…$/);
      assert.ok(Buffer.byteLength(field) < 200);
    });
  });
}
