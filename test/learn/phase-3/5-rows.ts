import type { StepModule } from '../../../src/learn/step-module.ts';
import { bodyOf, checkBodies } from './bodies.ts';

const FILE = 'src/parser/single-pass/body.ts';
const good = (n: number): string => `{"name":"m${n}","value":${n}}`;

export const check: StepModule['check'] = () =>
  checkBodies(5, [
    {
      body: bodyOf(good(0), '{"name":"","value":1}', good(2)),
      so: 'an invalid item was stored, or took a row',
    },
    { body: bodyOf('{"value":1}', '{"name":"a"}', good(2)), so: 'rows of invalid items are used again' },
    {
      body: bodyOf(good(0), '7', 'null', good(3)),
      so: 'an item that is not an object is invalid, not broken',
    },
    { body: bodyOf('{"name":"a","value":"x","type":"y"}'), so: 'an item keeps its first error' },
    { body: '{"metrics":[{"name":"a","value":1},]}', so: 'a comma must be followed by an item' },
    { body: bodyOf('[{"name":"a","value":1}]', good(1)) },
  ]);

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'invalid items keep their row',
    file: FILE,
    find: 'i = parseItem(i, index - rejected - written, index, ITEM_DEPTH);',
    replace: 'i = parseItem(i, index, index, ITEM_DEPTH);',
  },
  {
    mistake: 'invalid items are counted as rows',
    file: FILE,
    find: 'columns.count = seen - rejected - written;',
    replace: 'columns.count = seen - written;',
  },
  {
    mistake: 'errors name the row and not the item',
    file: FILE,
    find: 'i = parseItem(i, index - rejected - written, index, ITEM_DEPTH);',
    replace: 'i = parseItem(i, index - rejected - written, index - rejected - written, ITEM_DEPTH);',
  },
];
