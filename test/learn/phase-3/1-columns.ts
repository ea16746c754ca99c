import type { StepModule } from '../../../src/learn/step-module.ts';
import { bodyOf, checkBodies } from './bodies.ts';

export const check: StepModule['check'] = () =>
  checkBodies(1, [
    { body: bodyOf('{"name":"cpu","value":42.5}'), so: 'name and value do not reach their columns' },
    { body: bodyOf('{"name":"cpu","value":1,"type":"counter"}'), so: 'the type does not reach its column' },
    { body: bodyOf('{"name":"cpu","value":1,"timestamp":1700000000000}'), so: 'the timestamp is lost' },
    { body: bodyOf('{"name":"cpu","value":1,"tags":{"host":"a","rack":"7"}}'), so: 'the tags are lost' },
    { body: bodyOf('{"value":1e3,"tags":{},"name":"a"}') },
    { body: bodyOf('{"name":"cpu","value":1,"tags":[]}'), so: 'tags must be an object' },
  ]);

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'name and value swapped',
    file: 'src/parser/single-pass/item.ts',
    find: 'if (field === NAME) i = parseName(i, row, index, depth);\n      else if (field === VALUE_FIELD)',
    replace:
      'if (field === VALUE_FIELD) i = parseName(i, row, index, depth);\n      else if (field === NAME)',
  },
  {
    mistake: 'the timestamp is skipped',
    file: 'src/parser/single-pass/item.ts',
    find: '      else if (field === TIMESTAMP_FIELD) i = parseTimestamp(i, row, index, depth);\n',
    replace: '',
  },
  {
    mistake: 'any value passes for tags',
    file: 'src/parser/single-pass/item.ts',
    find: "else i = rejectValue(i, index, depth, 'tags', 'OBJECT');",
    replace: 'else i = skipValue(i, depth + 1);',
  },
  {
    mistake: 'the fields are not remembered',
    file: 'src/parser/single-pass/item.ts',
    find: '      fields |= field;\n',
    replace: '',
  },
];
