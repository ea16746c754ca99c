import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlowestRequest } from '../../src/telemetry/slowest.ts';
import { sampleOf } from '../support/samples.ts';

const START_MS = 5000;

test('the slowest request is forgotten 10 to 20 seconds after it came', () => {
  const window = new SlowestRequest(START_MS);
  window.turn(START_MS + 9999);
  window.note(sampleOf({ clientHash: 1, totalNs: 900 }));
  window.turn(START_MS + 10_000);
  window.note(sampleOf({ clientHash: 2, totalNs: 500 }));
  assert.equal(window.slowest?.totalNs, 900);
  window.turn(START_MS + 19_999);
  assert.equal(window.slowest?.totalNs, 900);
  window.turn(START_MS + 20_000);
  assert.equal(window.slowest?.totalNs, 500);
  window.turn(START_MS + 30_000);
  assert.equal(window.slowest, null);
});

test('of two that took equally long the first is reported', () => {
  const window = new SlowestRequest(START_MS);
  window.note(sampleOf({ clientHash: 1, totalNs: 900 }));
  window.note(sampleOf({ clientHash: 2, totalNs: 900 }));
  assert.equal(window.slowest?.client, '00000001');
});
