/** The WebAssembly module by itself: which items it parses, and where it stores. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { INPUT_AT, LINES_AT, reserveModuleMemory } from '../../src/parser/memory.ts';
import { instantiate, type Run } from '../../src/parser/simd/module.ts';
import { randomFrom, testSeed } from './bodies.ts';
import { ordinaryBody } from './ordinary.ts';

const RECEIPT = '1234567890123';
const UNTOUCHED = 0xa5;
/** Bytes that stores may reach past the last line. */
const SLACK_BYTES = 32;
const GUARD_BYTES = 256;
const ITEM = '{"name":"cpu","value":42.5,"type":"gauge","timestamp":1700000000000,"tags":{"host":"web-1"}}';

let memory: Buffer;
let run: Run;

/** Runs the module on items without the document around them; returns their number and the lines. */
function runOn(items: string | Buffer, isNdjson = 0, alignment = 0): { items: number; lines: string } {
  const body = Buffer.from(items as Buffer);
  body.copy(memory, INPUT_AT);
  memory[INPUT_AT + body.length] = 0;
  const first = LINES_AT + alignment;
  const room = 2 * body.length + 1024;
  memory.fill(UNTOUCHED, LINES_AT, first + room + GUARD_BYTES);
  const count = run(INPUT_AT, INPUT_AT + body.length, first, 4095, RECEIPT.length, isNdjson, 1);
  const last = memory.readInt32LE(1024 + 4);
  const isUntouched = (from: number, to: number): boolean =>
    memory.subarray(from, to).every((byte) => byte === UNTOUCHED);
  assert.ok(isUntouched(LINES_AT, first), 'nothing is stored before the first line');
  assert.ok(
    isUntouched(last + SLACK_BYTES, first + room + GUARD_BYTES),
    'stores end 32 bytes after the last line',
  );
  return { items: count, lines: memory.toString('utf8', first, last) };
}

describe('SIMD module', () => {
  before(() => {
    const reserved = reserveModuleMemory();
    assert.ok(reserved !== null);
    memory = Buffer.from(reserved.buffer);
    run = instantiate(reserved);
    memory.write(RECEIPT, 1088);
    memory.write('"gauge"', 1104);
  });

  it('parses ordinary items in every spelling that clients use', () => {
    const spellings = [
      ITEM,
      '{"name": "cpu", "value": 42.5, "type": "gauge", "timestamp": 1700000000000, "tags": {"host": "web-1"}}',
      '{ "tags" : { "host" : "web-1" } , "timestamp" : 1700000000000 , "value" : 42.5 , "name" : "cpu" }',
      '{"name":"cpu","value":42.5,"timestamp":1700000000000,"tags":{"host":"web-1"},"unit":"%","x":[1,{"y":null}]}',
    ];
    const line =
      '{"timestamp":1700000000000,"name":"cpu","value":42.5,"type":"gauge","tags":{"host":"web-1"}}\n';
    for (const item of spellings) {
      assert.deepEqual(runOn(`${item}, ${item},${item}]}`), { items: 3, lines: line.repeat(3) }, item);
      assert.deepEqual(runOn(`${item}\n${item}\r\n\n${item}`, 1), { items: 3, lines: line.repeat(3) }, item);
    }
    const short = runOn('{"name":"caf\\u00e9 日本","value":-1e-7,"type":"histogram","tags":{}}');
    assert.equal(
      short.lines,
      `{"timestamp":${RECEIPT},"name":"caf\\u00e9 日本","value":-1e-7,"type":"histogram"}\n`,
    );
  });

  it('refuses every other item and returns the address after the one before', () => {
    const others = [
      '1', '{}', '{"name":"a"}', '{"name":"","value":1}', '{"name":"\\n","value":1}', '{"name":"\x7f","value":1}', '{"name":"a","value":1e400}',
      '{"name":"a","value":01}', '{"name":"a","value":1,"value":1}', '{"name":"a","value":1,"n\\u0061me":1}', '{"name":"a","value":1,"type":"x"}',
      '{"name":"a","value":1,"timestamp":1.5}', '{"name":"a","value":1,"tags":{"a":1}}', '{"name":"a","value":1,"tags":{"a":"","a":""}}',
      '{"name":"a","value":1,}', '{"name":"a","value":1', '{"name":"a","value":1,"x":[1}',
    ]; // biome-ignore format: a table
    for (const other of others) {
      assert.equal(runOn(other).items, 0, other);
      assert.equal(runOn(`${ITEM},${other}`).items, 1, other);
      assert.equal(memory.readInt32LE(1024), INPUT_AT + ITEM.length);
      assert.equal(memory.readInt32LE(1024 + 8), 1, 'the next item was refused');
    }
  });

  it('stores nothing outside the lines and their slack, for random bodies at every alignment', (t) => {
    const seed = testSeed();
    t.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    let items = 0;
    for (let count = 0; count < 5000; count++) {
      const isNdjson = count & 1;
      const body = ordinaryBody(random, isNdjson === 1)
        .toString('latin1')
        .replace(/^[^[]*\[/, isNdjson === 1 ? '$&' : '');
      items += runOn(Buffer.from(body, 'latin1'), isNdjson, count & 7).items;
    }
    assert.ok(items > 5000, `the module parsed ${items} items`);
  });
});
