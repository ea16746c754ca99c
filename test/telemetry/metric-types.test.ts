import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countTypes } from '../../src/encoder/type-counts.ts';
import { columns } from '../../src/parser/columns.ts';
import { FORMAT_JSON, FORMAT_NDJSON } from '../../src/parser/parser.ts';
import { createParser } from '../../src/parser/single-pass/single-pass.ts';
import { CLASSES, CONTENT_TYPES, METRIC_TYPES, WORKER } from '../../src/telemetry/counters.ts';

describe('the order of the counter slots', () => {
  it("equals that of the parser's type codes", () => {
    const parser = createParser({ maxBodyBytes: 4096, maxBatch: 100 });
    const metrics = METRIC_TYPES.map((type) => ({ name: type, value: 1, type }));
    const { written } = new TextEncoder().encodeInto(JSON.stringify({ metrics }), parser.input);
    parser.parse(written, FORMAT_JSON, 0);
    assert.equal(parser.accepted, METRIC_TYPES.length);
    assert.deepEqual(
      [...columns.type.subarray(0, METRIC_TYPES.length)],
      METRIC_TYPES.map((_, code) => code),
    );
  });

  it("follows the parser's formats, failed before well-formed", () => {
    assert.equal(CONTENT_TYPES[FORMAT_JSON], 'json');
    assert.equal(CONTENT_TYPES[FORMAT_NDJSON], 'ndjson');
    assert.equal(WORKER.parsed_ndjson_failed, WORKER.parsed_json_failed + 2);
    assert.equal(WORKER.parsed_json_ok, WORKER.parsed_json_failed + 1);
    assert.equal(WORKER.parsed_ndjson_ok, WORKER.parsed_json_ok + 2);
  });

  it('is by class, then by type', () => {
    const slots = CLASSES.flatMap((index) => METRIC_TYPES.map((type) => WORKER[`ingested_${index}_${type}`]));
    assert.deepEqual(
      slots,
      slots.map((_, k) => WORKER.ingested_0_gauge + k),
    );
    assert.deepEqual(
      CLASSES.map((index) => WORKER[`class_${index}_requests`]),
      CLASSES.map((index) => WORKER.class_0_requests + index),
    );
  });
});

describe('counting types', () => {
  it('equals counting one by one, for any length and mixture of types', () => {
    const into = Int32Array.of(9, 9, 9, 9);
    for (const count of [0, 1, 2, 254, 255, 256, 509, 510, 511, 1021]) {
      for (const typeAt of [() => 3, () => 0, (k: number) => k & 3, (k: number) => (k * 7919) % 4]) {
        const types = Uint8Array.from({ length: count + 5 }, (_, k) => typeAt(k));
        const expected = [0, 0, 0, 0];
        for (const type of types.subarray(0, count)) expected[type]! += 1;
        countTypes(types, count, into);
        assert.deepEqual([...into], expected, `${count} types`);
      }
    }
  });
});
