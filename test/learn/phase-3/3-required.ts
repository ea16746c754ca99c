import type { StepModule } from '../../../src/learn/step-module.ts';
import { bodyOf, checkBodies } from './bodies.ts';

const FILE = 'src/parser/single-pass/item.ts';

export const check: StepModule['check'] = () =>
  checkBodies(3, [
    { body: bodyOf('{"value":1}'), so: 'an item without a name is invalid, and the error names that field' },
    {
      body: bodyOf('{"name":"cpu"}'),
      so: 'an item without a value is invalid, and the error names that field',
    },
    { body: bodyOf('{"type":"gauge"}'), so: 'the name is missing first' },
    { body: bodyOf('{"name":"a","name":"b","value":1}'), so: 'two names: nobody knows which one counts' },
    { body: bodyOf('{"name":"a","value":1,"tags":{},"tags":{"a":"b"}}') },
    { body: bodyOf('{"x":1,"x":2,"name":"a","value":1}'), so: 'unknown keys may come twice' },
  ]);

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'one of the two required fields suffices',
    file: FILE,
    find: '(fields & REQUIRED) !== REQUIRED',
    replace: '(fields & REQUIRED) === 0',
  },
  {
    mistake: 'a field twice is accepted',
    file: FILE,
    find: "      rejectItem(index, key, fieldName(field), 'TWICE');\n",
    replace: '',
  },
  {
    mistake: 'the missing field has the wrong name',
    file: FILE,
    find: "(fields & NAME) === 0 ? 'name' : 'value'",
    replace: "(fields & NAME) === 0 ? 'value' : 'name'",
  },
];
