import assert from 'node:assert/strict';
import { test } from 'node:test';
import { negotiate } from '../../src/exposition/negotiate.ts';

const CASES: readonly [accept: string | undefined, form: string, why: string][] = [
  [undefined, 'text', 'no header'],
  ['', 'text', 'an empty header'],
  ['*/*', 'text', 'anything'],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'text', 'a browser'],
  ['application/json', 'json', 'JSON'],
  ['Application/JSON', 'json', 'any case'],
  ['application/json;q=0.5, text/plain', 'text', 'the higher quality'],
  ['application/json, text/plain;q=0.5', 'json', 'the higher quality'],
  ['text/plain;q=0.2, application/*;q=0.7', 'openmetrics', 'a range over a type'],
  ['application/*;q=0.7, application/openmetrics-text;q=0.1', 'json', 'the specific range over the wide one'],
  ['*/*, text/plain;q=0', 'openmetrics', 'a form that is refused'],
  ['application/openmetrics-text; version=1.0.0', 'openmetrics', 'OpenMetrics'],
  ['application/openmetrics-text; version="1.0.0"; charset=utf-8', 'openmetrics', 'a quoted version'],
  ['application/openmetrics-text; version=0.0.1', 'text', 'a version that is not offered'],
  [
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
    'openmetrics',
    'what Prometheus sends',
  ],
  ['text/plain;version=1.0.0;q=0.9, text/plain;version=0.0.4;q=0.3, */*;q=0.1', 'text', 'a newer text'],
  ['image/png', 'text', 'nothing that fits'],
  ['application/json;q=oops', 'text', 'a quality that is no number'],
];

for (const [accept, form, why] of CASES) {
  test(`${why} gets ${form}: ${accept ?? 'absent'}`, () => assert.equal(negotiate(accept), form));
}
